-- Where cravings came, the most frequent first.
SELECT place, count(*) AS n, avg(intensity) AS mean_intensity
FROM cravings
WHERE event_time > $since AND event_time <= $as_of AND ($craving IS NULL OR craving = $craving) AND place IS NOT NULL
GROUP BY place
ORDER BY n DESC, place LIMIT 20
