-- Every event as it stands now: the highest revision of each, without what was retracted.
WITH revised AS (
  SELECT user_id, target, target_kind, event_time, tz_offset_min, payload,
         row_number() OVER (PARTITION BY user_id, target, target_kind ORDER BY revision DESC, received_at, event_id) AS place
  FROM corrections
  WHERE kind = 'correct'
)
SELECT e.event_id,
       e.user_id,
       e.device_id,
       e.source,
       e.app_version,
       e.kind,
       coalesce(r.event_time, e.event_time) AS event_time,
       coalesce(r.tz_offset_min, e.tz_offset_min) AS tz_offset_min,
       e.tz,
       e.received_at,
       e.schema_version,
       coalesce(r.payload, e.payload) AS payload
FROM events e
LEFT JOIN revised r ON r.user_id = e.user_id AND r.target = e.event_id AND r.target_kind = e.kind AND r.place = 1
LEFT ANTI JOIN (SELECT user_id, target FROM corrections WHERE kind = 'retract') t
  ON t.user_id = e.user_id AND t.target = e.event_id
WHERE e.kind NOT IN ('correct', 'retract')
