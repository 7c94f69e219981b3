-- What set cravings off, the most frequent first.
SELECT trigger, count(*) AS n, avg(intensity) AS mean_intensity
FROM cravings
WHERE event_time > $since AND event_time <= $as_of AND ($craving IS NULL OR craving = $craving) AND trigger IS NOT NULL
GROUP BY trigger
ORDER BY n DESC, trigger LIMIT 20
