-- Cravings by local weekday (0 = Sunday) and hour.
SELECT local_dow, local_hour, count(*) AS n, avg(intensity) AS mean_intensity
FROM cravings
WHERE event_time > $since AND event_time <= $as_of AND ($craving IS NULL OR craving = $craving)
GROUP BY local_dow, local_hour
ORDER BY local_dow, local_hour
