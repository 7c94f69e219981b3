-- One craving.
SELECT event_id, event_time, local_date, local_hour, local_dow, craving, intensity, trigger, place, mood, company, note, resisted
FROM cravings
WHERE event_id = $event_id
