-- Cravings by local day, up to this moment: each UTC day of a person comes from gold where gold holds all of that day's
-- cravings, and from `cravings` where it does not: the open day, and a closed one that is being recomputed. A UTC day
-- comes from one side only, so that nothing counts twice.
WITH silver AS (
  SELECT user_id, date_trunc('day', event_time) AS utc_day, count(*) AS n, coalesce(sum(intensity), 0) AS sum_intensity
  FROM cravings
  GROUP BY user_id, date_trunc('day', event_time)
),
gold AS (
  SELECT user_id, window_start AS utc_day, sum(n) AS n, CAST(coalesce(sum(sum_value), 0) AS BIGINT) AS sum_intensity
  FROM daily_parts
  WHERE kind = 'craving'
  GROUP BY user_id, window_start
),
closed AS (
  SELECT gold.user_id, gold.utc_day
  FROM gold
  JOIN silver ON silver.user_id = gold.user_id AND silver.utc_day = gold.utc_day
             AND silver.n = gold.n AND silver.sum_intensity = gold.sum_intensity
),
parts AS (
  SELECT p.user_id, p.local_date, p.craving, p.n, p.value_n, p.sum_value, p.sum_sq_value, p.min_value, p.max_value,
         p.answered_n, p.resisted_n, p.night_n, p.morning_n, p.afternoon_n, p.evening_n, p.late_evening_n
  FROM daily_parts p
  LEFT SEMI JOIN closed ON closed.user_id = p.user_id AND closed.utc_day = p.window_start
  WHERE p.kind = 'craving'
  UNION ALL
  SELECT c.user_id, c.local_date, coalesce(c.craving, ''), 1,
         CASE WHEN c.intensity IS NULL THEN 0 ELSE 1 END,
         CAST(c.intensity AS DOUBLE), CAST(c.intensity * c.intensity AS DOUBLE), CAST(c.intensity AS DOUBLE), CAST(c.intensity AS DOUBLE),
         CASE WHEN c.resisted IS NULL THEN 0 ELSE 1 END,
         CASE WHEN c.resisted THEN 1 ELSE 0 END,
         CASE c.day_part WHEN 'night' THEN 1 ELSE 0 END,
         CASE c.day_part WHEN 'morning' THEN 1 ELSE 0 END,
         CASE c.day_part WHEN 'afternoon' THEN 1 ELSE 0 END,
         CASE c.day_part WHEN 'evening' THEN 1 ELSE 0 END,
         CASE c.day_part WHEN 'late_evening' THEN 1 ELSE 0 END
  FROM cravings c
  LEFT ANTI JOIN closed ON closed.user_id = c.user_id AND closed.utc_day = date_trunc('day', c.event_time)
)
SELECT user_id,
       local_date,
       craving,
       sum(n) AS n,
       sum(value_n) AS value_n,
       sum(sum_value) AS sum_intensity,
       sum(sum_sq_value) AS sum_sq_intensity,
       min(min_value) AS min_intensity,
       max(max_value) AS max_intensity,
       sum(sum_value) / nullif(sum(value_n), 0) AS mean_intensity,
       sum(answered_n) AS answered_n,
       sum(resisted_n) AS resisted_n,
       sum(night_n) AS night_n,
       sum(morning_n) AS morning_n,
       sum(afternoon_n) AS afternoon_n,
       sum(evening_n) AS evening_n,
       sum(late_evening_n) AS late_evening_n
FROM parts
GROUP BY user_id, local_date, craving
