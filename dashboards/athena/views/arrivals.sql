-- Every reading of every body in the raw archive, as often as it was posted: readings of a series each for itself.
-- A body, or a part of it, that is no reading has a row too, with is_valid = false, so that nothing is lost from the counts;
-- is_refused says what was a reading and became a dead letter all the same.
-- Filters on dt and hour reach the files; name them, or the whole archive is read.
WITH bodies AS (
  SELECT
    dt,
    hour,
    "$path" AS file,
    TRY(json_parse(line)) AS body
  FROM raw
),
parts AS (
  SELECT
    dt,
    hour,
    file,
    body,
    TRY_CAST(json_extract(body, '$.readings') AS ARRAY(JSON)) AS series
  FROM bodies
),
posted AS (
  SELECT
    dt,
    hour,
    file,
    body,
    CASE WHEN cardinality(series) BETWEEN 1 AND 500 THEN cardinality(series) END AS series_readings,
    reading
  FROM parts
  CROSS JOIN UNNEST(CASE WHEN cardinality(series) BETWEEN 1 AND 500 THEN series ELSE ARRAY[body] END) AS part(reading)
),
members AS (
  SELECT
    dt,
    hour,
    file,
    series_readings,
    json_format(body) IS NOT NULL AS is_json,
    json_extract_scalar(body, '$.device_id') AS device_id,
    json_extract_scalar(reading, '$.timestamp') AS posted_timestamp,
    json_extract_scalar(reading, '$.event_id') AS event_id,
    TRY_CAST(json_extract_scalar(reading, '$.value') AS DOUBLE) + 0.0E0 AS value,
    json_format(json_extract(body, '$.device_id')) AS device_json,
    json_format(json_extract(reading, '$.timestamp')) AS timestamp_json,
    json_format(json_extract(reading, '$.event_id')) AS event_json,
    json_format(json_extract(reading, '$.value')) AS value_json,
    -- A series has its timestamps and values inside, and a reading has no readings.
    CASE
      WHEN series_readings IS NULL THEN json_extract(reading, '$.readings') IS NULL
      ELSE json_extract(body, '$.timestamp') IS NULL AND json_extract(body, '$.value') IS NULL
        AND json_extract(reading, '$.readings') IS NULL
        AND COALESCE(json_extract_scalar(reading, '$.device_id') = json_extract_scalar(body, '$.device_id'), json_extract(reading, '$.device_id') IS NULL)
    END AS is_formed
  FROM posted
),
parsed AS (
  SELECT
    dt,
    hour,
    file,
    series_readings,
    is_json,
    is_formed,
    device_id,
    posted_timestamp,
    event_id,
    value,
    device_json,
    event_json,
    value_json,
    CAST(concat(dt, ' ', hour, ':00:00') AS TIMESTAMP) AS arrival_hour,
    timestamp_json LIKE '"%'
      AND regexp_like(posted_timestamp, '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])\z') AS is_rfc_3339,
    TRY_CAST(concat(substr(posted_timestamp, 1, 10), ' ', substr(posted_timestamp, 12, 8)) AS TIMESTAMP) AS local_second,
    TRY_CAST(concat(
      substr(posted_timestamp, 1, 10), ' ', substr(posted_timestamp, 12, 8), '.',
      substr(rpad(COALESCE(regexp_extract(posted_timestamp, '[.]([0-9]+)', 1), ''), 9, '0'), 1, 3)
    ) AS TIMESTAMP) AS local_millisecond,
    TRY_CAST(rpad(COALESCE(regexp_extract(posted_timestamp, '[.]([0-9]+)', 1), ''), 9, '0') AS INTEGER) AS nanosecond,
    CASE
      WHEN lower(substr(posted_timestamp, -1)) = 'z' THEN 0
      ELSE (CASE WHEN substr(posted_timestamp, -6, 1) = '-' THEN -1 ELSE 1 END)
        * (TRY_CAST(substr(posted_timestamp, -5, 2) AS INTEGER) * 3600 + TRY_CAST(substr(posted_timestamp, -2) AS INTEGER) * 60)
    END AS offset_seconds
  FROM members
),
timed AS (
  SELECT
    dt,
    hour,
    file,
    arrival_hour,
    series_readings,
    is_json,
    is_formed,
    device_id,
    posted_timestamp,
    event_id,
    value,
    device_json,
    event_json,
    value_json,
    CASE WHEN is_rfc_3339 AND local_second IS NOT NULL THEN nanosecond END AS nanosecond,
    CASE WHEN is_rfc_3339 THEN date_diff('second', TIMESTAMP '1970-01-01 00:00:00', local_second) - offset_seconds END AS epoch_second,
    CASE WHEN is_rfc_3339 THEN local_millisecond - offset_seconds * INTERVAL '1' SECOND END AS device_time
  FROM parsed
),
-- The dead letters of each day: no file says which of two values for one instant came first, nor what partition key a body
-- had, nor whether its time had come; they do.
letters AS (
  SELECT
    dt,
    id,
    TRY(json_parse(from_utf8(from_base64(payload_base64)))) AS body
  FROM dead_letters
),
refused AS (
  SELECT
    dt,
    json_extract_scalar(body, '$.device_id') AS device_id,
    json_extract_scalar(body, '$.timestamp') AS posted_timestamp,
    COALESCE(json_extract_scalar(body, '$.event_id'), '') AS event_id,
    TRY_CAST(json_extract_scalar(body, '$.value') AS DOUBLE) + 0.0E0 AS value,
    count(DISTINCT id) AS letters
  FROM letters
  GROUP BY 1, 2, 3, 4, 5
)
SELECT
  timed.dt,
  timed.hour,
  timed.file,
  timed.arrival_hour,
  timed.series_readings,
  timed.device_id,
  timed.posted_timestamp,
  timed.device_time,
  timed.epoch_second,
  timed.nanosecond,
  timed.event_id,
  timed.value,
  timed.is_json,
  COALESCE(
    timed.is_json
    AND timed.is_formed
    AND timed.device_json LIKE '"%'
    AND regexp_like(timed.device_id, '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\z')
    AND (timed.event_json IS NULL OR (timed.event_json LIKE '"%' AND regexp_like(timed.event_id, '^[!-~]{1,128}\z')))
    AND regexp_like(timed.value_json, '^-?[0-9]')
    AND abs(timed.value) <= 1E100
    -- The hour of arrival is known, and the minute is not: what is ahead of all of it by five minutes was refused.
    AND timed.device_time <= timed.arrival_hour + INTERVAL '65' MINUTE,
    false
  ) AS is_valid,
  -- As many dead letters as copies: none of that day's was counted. What was redriven later arrived again.
  COALESCE(refused.letters, 0) >= count(*) OVER (
    PARTITION BY timed.dt, timed.device_id, timed.posted_timestamp, timed.event_id, timed.value
  ) AS is_refused
FROM timed
LEFT JOIN refused
  ON refused.dt = timed.dt
  AND refused.device_id = timed.device_id
  AND refused.posted_timestamp = timed.posted_timestamp
  AND refused.event_id = COALESCE(timed.event_id, '')
  AND refused.value = timed.value
