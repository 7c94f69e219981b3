-- Each craving with the last SDNN and, apart from it, the last RMSSD of the six hours before it. They are different
-- measures and are never mixed. A sample that comes hours late appears with its craving, since this is a view.
WITH line AS (
  SELECT user_id, event_time, event_id, kind, TRY_CAST(get_first_json_object(payload, '$.value') AS DOUBLE) AS value
  FROM events_current
  WHERE kind IN ('hrv_sdnn_ms', 'hrv_rmssd_ms')
  UNION ALL
  SELECT user_id, event_time, event_id, 'craving', NULL
  FROM cravings
),
-- One pass in order of time remembers the last sample of each measure; at the same instant the sample comes first.
seen AS (
  SELECT user_id, event_time, event_id, kind,
         last_value(CASE WHEN kind = 'hrv_sdnn_ms' THEN value END) IGNORE NULLS OVER past AS sdnn_ms,
         last_value(CASE WHEN kind = 'hrv_sdnn_ms' AND value IS NOT NULL THEN event_time END) IGNORE NULLS OVER past AS sdnn_time,
         last_value(CASE WHEN kind = 'hrv_sdnn_ms' AND value IS NOT NULL THEN event_id END) IGNORE NULLS OVER past AS sdnn_event_id,
         last_value(CASE WHEN kind = 'hrv_rmssd_ms' THEN value END) IGNORE NULLS OVER past AS rmssd_ms,
         last_value(CASE WHEN kind = 'hrv_rmssd_ms' AND value IS NOT NULL THEN event_time END) IGNORE NULLS OVER past AS rmssd_time,
         last_value(CASE WHEN kind = 'hrv_rmssd_ms' AND value IS NOT NULL THEN event_id END) IGNORE NULLS OVER past AS rmssd_event_id
  FROM line
  WINDOW past AS (PARTITION BY user_id ORDER BY event_time, kind = 'craving', event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT c.event_id,
       c.user_id,
       c.event_time,
       c.local_date,
       c.local_hour,
       c.craving,
       c.intensity,
       c.trigger,
       c.resisted,
       CASE WHEN s.sdnn_time >= c.event_time - INTERVAL '6 hours' THEN s.sdnn_ms END AS sdnn_ms,
       CASE WHEN s.sdnn_time >= c.event_time - INTERVAL '6 hours' THEN s.sdnn_time END AS sdnn_time,
       CASE WHEN s.sdnn_time >= c.event_time - INTERVAL '6 hours' THEN s.sdnn_event_id END AS sdnn_event_id,
       CASE WHEN s.rmssd_time >= c.event_time - INTERVAL '6 hours' THEN s.rmssd_ms END AS rmssd_ms,
       CASE WHEN s.rmssd_time >= c.event_time - INTERVAL '6 hours' THEN s.rmssd_time END AS rmssd_time,
       CASE WHEN s.rmssd_time >= c.event_time - INTERVAL '6 hours' THEN s.rmssd_event_id END AS rmssd_event_id
FROM cravings c
JOIN seen s ON s.user_id = c.user_id AND s.event_id = c.event_id AND s.kind = 'craving'
