-- How is each device now? Its statistics, and how long ago it was last heard of.
SELECT
  device_id,
  count,
  mean,
  median,
  standard_deviation,
  minimum,
  maximum,
  anomaly_count,
  last_timestamp,
  date_diff('minute', last_timestamp, CAST(current_timestamp AS TIMESTAMP)) AS minutes_since
FROM latest_statistics
ORDER BY device_id
