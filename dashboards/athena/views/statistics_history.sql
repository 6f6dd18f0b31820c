-- Each revision of each device once, however often its row was delivered.
WITH ranked AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY device_id, revision ORDER BY updated_at DESC) AS place
  FROM device_statistics
)
SELECT
  device_id,
  revision,
  count,
  mean,
  median,
  standard_deviation,
  minimum,
  maximum,
  mean_confidence_95_low,
  mean_confidence_95_high,
  anomaly_count,
  first_timestamp,
  last_timestamp,
  updated_at,
  dt
FROM ranked
WHERE place = 1
