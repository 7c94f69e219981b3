-- What tells people apart, one row a person, over all their cravings: shares with the counts they are shares of, the
-- slope of intensity (points a week), and heart rate variability within six hours before a craving against otherwise
-- (means of samples; SDNN and RMSSD apart).
WITH line AS (
  SELECT user_id, event_time, event_id, kind, TRY_CAST(get_first_json_object(payload, '$.value') AS DOUBLE) AS value
  FROM events_current
  WHERE kind IN ('hrv_sdnn_ms', 'hrv_rmssd_ms')
  UNION ALL
  SELECT user_id, event_time, event_id, 'craving', NULL
  FROM cravings
),
-- Read backwards in time, the last craving seen is the next one after a sample; at the same instant it is seen first.
ahead AS (
  SELECT user_id, kind, value, event_time,
         last_value(CASE WHEN kind = 'craving' THEN event_time END) IGNORE NULLS
           OVER (PARTITION BY user_id ORDER BY event_time DESC, kind <> 'craving', event_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_craving
  FROM line
),
samples AS (
  SELECT user_id, kind, value, coalesce(next_craving <= event_time + INTERVAL '6 hours', false) AS before_craving
  FROM ahead
  WHERE kind <> 'craving'
),
hrv AS (
  SELECT user_id,
         count(value) FILTER (WHERE kind = 'hrv_sdnn_ms' AND before_craving) AS sdnn_before_n,
         avg(value) FILTER (WHERE kind = 'hrv_sdnn_ms' AND before_craving) AS sdnn_before_ms,
         count(value) FILTER (WHERE kind = 'hrv_sdnn_ms' AND NOT before_craving) AS sdnn_otherwise_n,
         avg(value) FILTER (WHERE kind = 'hrv_sdnn_ms' AND NOT before_craving) AS sdnn_otherwise_ms,
         count(value) FILTER (WHERE kind = 'hrv_rmssd_ms' AND before_craving) AS rmssd_before_n,
         avg(value) FILTER (WHERE kind = 'hrv_rmssd_ms' AND before_craving) AS rmssd_before_ms,
         count(value) FILTER (WHERE kind = 'hrv_rmssd_ms' AND NOT before_craving) AS rmssd_otherwise_n,
         avg(value) FILTER (WHERE kind = 'hrv_rmssd_ms' AND NOT before_craving) AS rmssd_otherwise_ms
  FROM samples
  GROUP BY user_id
),
kinds AS (
  SELECT user_id, craving, n,
         row_number() OVER (PARTITION BY user_id ORDER BY n DESC, craving) AS place
  FROM (SELECT user_id, coalesce(craving, '') AS craving, count(*) AS n FROM cravings GROUP BY user_id, coalesce(craving, ''))
),
facts AS (
  SELECT user_id,
         count(*) AS n,
         min(local_date) AS first_date,
         max(local_date) AS last_date,
         count(DISTINCT local_date) AS craving_days,
         avg(intensity) AS mean_intensity,
         count(*) FILTER (WHERE day_part IN ('night', 'late_evening')) AS night_n,
         count(*) FILTER (WHERE local_dow IN (0, 6)) AS weekend_n,
         count(trigger) AS triggered_n,
         count(*) FILTER (WHERE trigger LIKE '%stress%' OR trigger IN ('work', 'deadline', 'argument', 'pressure')) AS stress_n,
         count(*) FILTER (WHERE trigger LIKE '%bored%' OR trigger LIKE '%boring%') AS boredom_n,
         count(*) FILTER (WHERE trigger LIKE '%social%' OR trigger LIKE '%party%' OR trigger LIKE '%friend%' OR trigger = 'company') AS social_n,
         count(company) AS company_n,
         count(*) FILTER (WHERE company <> 'alone') AS accompanied_n,
         count(resisted) AS answered_n,
         count(*) FILTER (WHERE resisted) AS resisted_n,
         count(*) FILTER (WHERE season = 'winter') AS winter_n,
         count(*) FILTER (WHERE season = 'spring') AS spring_n,
         count(*) FILTER (WHERE season = 'summer') AS summer_n,
         count(*) FILTER (WHERE season = 'autumn') AS autumn_n,
         regr_slope(CAST(intensity AS DOUBLE), CAST(extract(epoch FROM event_time) AS DOUBLE) / 604800.0) AS intensity_slope_per_week
  FROM cravings
  GROUP BY user_id
)
SELECT f.user_id,
       f.n,
       f.first_date,
       f.last_date,
       f.craving_days,
       f.mean_intensity,
       k.craving AS top_craving,
       CAST(k.n AS DOUBLE) / f.n AS top_craving_share,
       CAST(f.night_n AS DOUBLE) / f.n AS night_share,
       CAST(f.weekend_n AS DOUBLE) / f.n AS weekend_share,
       f.triggered_n,
       CAST(f.stress_n AS DOUBLE) / nullif(f.triggered_n, 0) AS stress_share,
       CAST(f.boredom_n AS DOUBLE) / nullif(f.triggered_n, 0) AS boredom_share,
       CAST(f.social_n AS DOUBLE) / nullif(f.triggered_n, 0) AS social_share,
       f.company_n,
       CAST(f.accompanied_n AS DOUBLE) / nullif(f.company_n, 0) AS accompanied_share,
       f.answered_n,
       CAST(f.resisted_n AS DOUBLE) / nullif(f.answered_n, 0) AS resisted_share,
       f.intensity_slope_per_week,
       CAST(f.winter_n AS DOUBLE) / f.n AS winter_share,
       CAST(f.spring_n AS DOUBLE) / f.n AS spring_share,
       CAST(f.summer_n AS DOUBLE) / f.n AS summer_share,
       CAST(f.autumn_n AS DOUBLE) / f.n AS autumn_share,
       h.sdnn_before_n, h.sdnn_before_ms, h.sdnn_otherwise_n, h.sdnn_otherwise_ms,
       h.rmssd_before_n, h.rmssd_before_ms, h.rmssd_otherwise_n, h.rmssd_otherwise_ms
FROM facts f
JOIN kinds k ON k.user_id = f.user_id AND k.place = 1
LEFT JOIN hrv h ON h.user_id = f.user_id
