-- Cravings by local hour of the day.
SELECT local_hour, count(*) AS n, avg(intensity) AS mean_intensity
FROM cravings
WHERE event_time > $since AND event_time <= $as_of AND ($craving IS NULL OR craving = $craving)
GROUP BY local_hour
ORDER BY local_hour
