-- Which readings stand out most? The hundred that lie farthest from their device's mean, in its standard deviations.
SELECT
  readings.device_id,
  readings.device_time,
  readings.value,
  latest.mean,
  latest.standard_deviation,
  abs(readings.value - latest.mean) / latest.standard_deviation AS deviations
FROM readings
JOIN latest_statistics AS latest
  ON latest.device_id = readings.device_id
WHERE latest.standard_deviation > 0
ORDER BY deviations DESC, readings.device_id, readings.epoch_second, readings.nanosecond
LIMIT 100
