-- What a person's notes and journals say they felt, by part of their own day. A note with several emotions counts in
-- each; one whose clock is not known is left out.
SELECT day_part(CAST(extract(hour FROM local_time(e.event_time, e.tz_offset_min, e.tz)) AS BIGINT)) AS day_part,
       l.label AS emotion,
       count(DISTINCT l.source_id) AS n,
       avg(l.confidence) AS mean_confidence
FROM note_labels_current l
JOIN events_current e ON e.user_id = l.user_id AND e.event_id = l.source_id
WHERE l.source_kind IN ('note', 'journal') AND l.kind = 'emotion' AND l.scope = 'own'
  AND e.event_time > $since AND e.event_time <= $as_of AND tz_known(e.tz_offset_min, e.tz)
GROUP BY 1, 2
ORDER BY n DESC, day_part, emotion
