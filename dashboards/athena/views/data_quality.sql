-- What became of what arrived, hour by hour, over the last seven days of arrivals: what is no reading, what was posted
-- more than once, what came late, and the dead letters by reason.
WITH recent AS (
  SELECT
    *,
    row_number() OVER (
      PARTITION BY is_valid, device_id, epoch_second, nanosecond, event_id
      ORDER BY dt, hour, file
    ) AS place
  FROM arrivals
  WHERE dt >= CAST(CAST(current_date - INTERVAL '6' DAY AS DATE) AS VARCHAR)
),
arrived AS (
  SELECT
    arrival_hour,
    count(*) AS readings,
    count_if(NOT is_json) AS not_json,
    count_if(is_json AND NOT is_valid) AS not_valid,
    count_if(is_valid AND place > 1) AS repeated,
    count_if(is_valid AND place = 1 AND device_time < arrival_hour - INTERVAL '1' HOUR) AS late
  FROM recent
  GROUP BY arrival_hour
),
dead AS (
  SELECT
    CAST(concat(substr(CAST(arrived_at AS VARCHAR), 1, 10), ' ', substr(CAST(arrived_at AS VARCHAR), 12, 2), ':00:00') AS TIMESTAMP) AS arrival_hour,
    count(DISTINCT id) AS dead_letters,
    count(DISTINCT CASE WHEN reason = 'conflicting_duplicate' THEN id END) AS conflicts,
    count(DISTINCT CASE WHEN reason = 'corrupt_state' THEN id END) AS corrupt_states
  FROM dead_letters
  WHERE dt >= CAST(CAST(current_date - INTERVAL '6' DAY AS DATE) AS VARCHAR)
  GROUP BY 1
)
SELECT
  COALESCE(arrived.arrival_hour, dead.arrival_hour) AS arrival_hour,
  COALESCE(arrived.readings, 0) AS readings,
  COALESCE(arrived.not_json, 0) AS not_json,
  COALESCE(arrived.not_valid, 0) AS not_valid,
  COALESCE(arrived.repeated, 0) AS repeated,
  COALESCE(arrived.late, 0) AS late,
  COALESCE(dead.dead_letters, 0) AS dead_letters,
  COALESCE(dead.conflicts, 0) AS conflicts,
  COALESCE(dead.corrupt_states, 0) AS corrupt_states
FROM arrived
FULL OUTER JOIN dead
  ON dead.arrival_hour = arrived.arrival_hour
