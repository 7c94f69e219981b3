-- Cravings, newest first, after a cursor (event_time, event_id).
SELECT event_id, event_time, local_date, local_hour, local_dow, craving, intensity, trigger, place, mood, company, note, resisted
FROM cravings
WHERE event_time > $since AND event_time <= $until
  AND ($craving IS NULL OR craving = $craving)
  AND ($cursor_time IS NULL OR event_time < $cursor_time OR (event_time = $cursor_time AND event_id < $cursor_id))
ORDER BY event_time DESC, event_id DESC
LIMIT $limit
