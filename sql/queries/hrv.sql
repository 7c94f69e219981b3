-- Heart rate variability, sample by sample. SDNN and RMSSD are different measures: never mixed.
SELECT event_time, kind, CAST(get_first_json_object(payload, '$.value') AS DOUBLE) AS value
FROM events_current
WHERE kind IN ('hrv_sdnn_ms', 'hrv_rmssd_ms') AND event_time > $since AND event_time <= $as_of
ORDER BY event_time
LIMIT 20000
