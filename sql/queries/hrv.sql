-- Heart rate variability, sample by sample: the newest 20,000 of the period, in order of time. SDNN and RMSSD are
-- different measures: never mixed.
SELECT event_time, kind, value
FROM (
  SELECT event_time, event_id, kind, CAST(get_first_json_object(payload, '$.value') AS DOUBLE) AS value
  FROM events_current
  WHERE kind IN ('hrv_sdnn_ms', 'hrv_rmssd_ms') AND event_time > $since AND event_time <= $as_of
  ORDER BY event_time DESC, event_id DESC
  LIMIT 20000)
ORDER BY event_time, event_id
