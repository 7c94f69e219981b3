-- A craving as it stands, with its whole payload and how often it was corrected: what a correction begins from.
SELECT e.event_time,
       e.tz_offset_min,
       e.payload,
       coalesce((SELECT max(c.revision) FROM corrections c WHERE c.kind = 'correct' AND c.target = $event_id), 0) AS revision
FROM events_current e
WHERE e.event_id = $event_id AND e.kind = 'craving'
