-- Totals by craving, of the period that ends at $as_of and of the one before it.
SELECT craving,
       count(*) FILTER (WHERE event_time > $since) AS n,
       avg(intensity) FILTER (WHERE event_time > $since) AS mean_intensity,
       count(resisted) FILTER (WHERE event_time > $since) AS answered,
       count(*) FILTER (WHERE event_time > $since AND resisted) AS resisted,
       count(*) FILTER (WHERE event_time > $since AND local_date = $today) AS today_n,
       avg(intensity) FILTER (WHERE event_time > $since AND local_date = $today) AS today_mean_intensity,
       count(*) FILTER (WHERE event_time <= $since) AS previous_n,
       avg(intensity) FILTER (WHERE event_time <= $since) AS previous_mean_intensity
FROM cravings
WHERE event_time > $before AND event_time <= $as_of AND ($craving IS NULL OR craving = $craving)
GROUP BY craving
ORDER BY n DESC, craving
