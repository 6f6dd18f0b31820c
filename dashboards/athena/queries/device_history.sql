-- How did one device develop? Its statistics, revision by revision; put its name for first.
SELECT
  updated_at,
  revision,
  count,
  mean,
  mean_confidence_95_low,
  mean_confidence_95_high,
  median,
  standard_deviation,
  anomaly_count
FROM statistics_history
WHERE device_id = 'first'
ORDER BY revision
