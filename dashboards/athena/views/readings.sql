-- Each valid reading once: of the copies of one identity (device, instant, event_id) the first that arrived stands, less what
-- became a dead letter.
-- Duplicates may arrive on any day, so this reads the whole archive, whatever the filter; for some days alone use arrivals.
WITH ranked AS (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY device_id, epoch_second, nanosecond, event_id
      ORDER BY is_refused, dt, hour, file, value
    ) AS place,
    count(*) OVER (PARTITION BY device_id, epoch_second, nanosecond, event_id) AS copies,
    min(value) OVER (PARTITION BY device_id, epoch_second, nanosecond, event_id) AS least,
    max(value) OVER (PARTITION BY device_id, epoch_second, nanosecond, event_id) AS greatest
  FROM arrivals
  WHERE is_valid
)
SELECT
  device_id,
  device_time,
  epoch_second,
  nanosecond,
  event_id,
  value,
  arrival_hour,
  date_diff('second', device_time, arrival_hour) AS seconds_late_at_least,
  copies,
  least < greatest AS is_conflicting,
  dt,
  hour
FROM ranked
WHERE place = 1 AND NOT is_refused
