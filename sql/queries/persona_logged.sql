-- Since when, until when and in how many weeks the person told anything themselves.
SELECT min(event_time) AS first_time, max(event_time) AS last_time, count(DISTINCT date_trunc('week', event_time)) AS weeks
FROM events_current
WHERE kind IN ('craving', 'lapse', 'mood', 'journal') AND event_time > $since AND event_time <= $until
