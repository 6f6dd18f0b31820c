-- Each valid reading once: of the copies of one identity (device, instant, event_id) the first that arrived stands.
-- Which of two values in one file came first, no file says. The dead letters do: a value that was refused as a conflicting
-- duplicate comes last here.
-- Duplicates may arrive on any day, so this reads the whole archive, whatever the filter; for one day use arrivals.
WITH refused AS (
  SELECT DISTINCT
    letters.device_id,
    json_extract_scalar(letters.payload, '$.timestamp') AS posted_timestamp,
    json_extract_scalar(letters.payload, '$.event_id') AS event_id,
    TRY_CAST(json_extract_scalar(letters.payload, '$.value') AS DOUBLE) + 0.0E0 AS value
  FROM (
    SELECT
      device_id,
      TRY(json_parse(from_utf8(from_base64(payload_base64)))) AS payload
    FROM dead_letters
    WHERE reason = 'conflicting_duplicate'
  ) AS letters
),
ranked AS (
  SELECT
    arrivals.dt,
    arrivals.hour,
    arrivals.arrival_hour,
    arrivals.device_id,
    arrivals.device_time,
    arrivals.epoch_second,
    arrivals.nanosecond,
    arrivals.event_id,
    arrivals.value,
    row_number() OVER (
      PARTITION BY arrivals.device_id, arrivals.epoch_second, arrivals.nanosecond, arrivals.event_id
      ORDER BY
        CASE WHEN refused.device_id IS NULL THEN 0 ELSE 1 END,
        arrivals.dt,
        arrivals.hour,
        arrivals.file,
        arrivals.value
    ) AS place,
    count(*) OVER (
      PARTITION BY arrivals.device_id, arrivals.epoch_second, arrivals.nanosecond, arrivals.event_id
    ) AS copies,
    min(arrivals.value) OVER (
      PARTITION BY arrivals.device_id, arrivals.epoch_second, arrivals.nanosecond, arrivals.event_id
    ) AS least,
    max(arrivals.value) OVER (
      PARTITION BY arrivals.device_id, arrivals.epoch_second, arrivals.nanosecond, arrivals.event_id
    ) AS greatest
  FROM arrivals
  LEFT JOIN refused
    ON refused.device_id = arrivals.device_id
    AND refused.posted_timestamp = arrivals.posted_timestamp
    AND COALESCE(refused.event_id, '') = COALESCE(arrivals.event_id, '')
    AND refused.value = arrivals.value
  WHERE arrivals.is_valid
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
WHERE place = 1
