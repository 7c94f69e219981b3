-- What tells one kind of craver from another, newest cravings first.
SELECT event_id, local_date, local_hour, local_dow, craving, intensity, trigger, company
FROM cravings
WHERE event_time > $since AND event_time <= $until
ORDER BY event_time DESC, event_id DESC
LIMIT 20000
