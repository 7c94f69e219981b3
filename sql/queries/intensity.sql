-- Strength by local day and craving.
SELECT local_date, craving, count(*) AS n, avg(intensity) AS mean_intensity, max(intensity) AS max_intensity
FROM cravings
WHERE event_time > $since AND event_time <= $as_of AND ($craving IS NULL OR craving = $craving)
GROUP BY local_date, craving
ORDER BY local_date, craving
