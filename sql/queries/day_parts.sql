-- Cravings by part of the local day.
SELECT day_part, count(*) AS n, avg(intensity) AS mean_intensity
FROM cravings
WHERE event_time > $since AND event_time <= $as_of AND ($craving IS NULL OR craving = $craving)
GROUP BY day_part
ORDER BY n DESC, day_part
