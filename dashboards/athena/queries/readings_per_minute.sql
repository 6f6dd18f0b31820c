-- How did a day go? Readings per minute of the devices' clocks, with mean, standard deviation and approximate median, for
-- what arrived in the last two days; another day is another dt. Copies of a reading that arrived in these days count once.
WITH chosen AS (
  SELECT
    device_time,
    value,
    is_refused,
    row_number() OVER (PARTITION BY device_id, epoch_second, nanosecond, event_id ORDER BY is_refused, dt, hour, file, value) AS place
  FROM arrivals
  WHERE is_valid AND dt >= CAST(CAST(current_date - INTERVAL '1' DAY AS DATE) AS VARCHAR)
)
SELECT
  date_trunc('minute', device_time) AS minute,
  count(*) AS readings,
  avg(value) AS mean,
  stddev_samp(value) AS standard_deviation,
  approx_percentile(value, 0.5) AS median
FROM chosen
WHERE place = 1 AND NOT is_refused
GROUP BY date_trunc('minute', device_time)
ORDER BY minute
