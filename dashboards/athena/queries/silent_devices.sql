-- Which devices went silent? Those not heard of for an hour, longest first, by what they read last.
SELECT
  device_id,
  last_timestamp,
  date_diff('minute', last_timestamp, CAST(current_timestamp AS TIMESTAMP)) AS minutes_silent,
  count,
  mean
FROM latest_statistics
WHERE last_timestamp < CAST(current_timestamp AS TIMESTAMP) - INTERVAL '1' HOUR
ORDER BY last_timestamp, device_id
