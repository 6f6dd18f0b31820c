-- What does a question over the archive cost? Bodies and bytes of each day of arrivals, before compression. Athena bills the
-- bytes it reads, which are the compressed ones: S3 shows these, as does the query's "Data scanned".
SELECT
  dt,
  count(DISTINCT "$path") AS files,
  count(*) AS bodies,
  sum(length(line)) AS characters,
  CAST(sum(length(line)) AS DOUBLE) / count(*) AS characters_per_body
FROM raw
WHERE dt >= CAST(CAST(current_date - INTERVAL '29' DAY AS DATE) AS VARCHAR)
GROUP BY dt
ORDER BY dt
