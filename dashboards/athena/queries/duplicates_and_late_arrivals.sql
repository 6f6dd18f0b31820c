-- Who posts twice, and who posts late? Readings of each device by copies and by the hours they took to arrive.
SELECT
  device_id,
  count(*) AS readings,
  sum(copies) - count(*) AS duplicates,
  count_if(is_conflicting) AS conflicting,
  count_if(seconds_late_at_least > 3600) AS late,
  max(seconds_late_at_least) / 3600.0E0 AS hours_late_at_least
FROM readings
GROUP BY device_id
HAVING sum(copies) > count(*) OR count_if(seconds_late_at_least > 3600) > 0
ORDER BY duplicates DESC, late DESC, device_id
