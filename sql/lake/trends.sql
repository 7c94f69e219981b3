-- Trend compression: each calendar month, season (Dec–Feb, Mar–May, …) and half-year (Jun–Nov, Dec–May) of a craving in
-- one sentence, with the numbers it is made of. Rates are over the days observed: from the person's first craving to
-- their last sign of life, so that a period which has only begun is not called a fall. Said only from 5 cravings and 7
-- observed days on. `change_pct` compares rates with the period before; it is NULL when that has no craving or fewer
-- than 7 observed days.
WITH alive AS (
  SELECT user_id, max(CAST(local_date AS DATE)) AS last_day
  FROM daily
  GROUP BY user_id
),
days AS (
  SELECT d.*, CAST(d.local_date AS DATE) AS day,
         min(CAST(d.local_date AS DATE)) OVER (PARTITION BY d.user_id) AS first_day,
         greatest(max(CAST(d.local_date AS DATE)) OVER (PARTITION BY d.user_id), a.last_day) AS last_day
  FROM daily_now d
  LEFT JOIN alive a ON a.user_id = d.user_id
),
-- Months are counted from year 0. Seasons start in the months 12, 3, 6 and 9, half-years in 12 and 6.
counted AS (
  SELECT days.*, CAST(date_part('year', day) AS BIGINT) * 12 + CAST(date_part('month', day) AS BIGINT) - 1 AS month
  FROM days
),
placed AS (
  SELECT c.*, g.grain, g.months, c.month - (c.month + 1) % g.months AS start_month
  FROM counted c
  CROSS JOIN (VALUES ('month', 1), ('season', 3), ('half_year', 6)) AS g(grain, months)
),
periods AS (
  SELECT user_id, grain, craving,
         make_date(start_month / 12, start_month % 12 + 1, 1) AS period_start,
         make_date((start_month + months) / 12, (start_month + months) % 12 + 1, 1) AS period_end,
         min(first_day) AS first_day, max(last_day) AS last_day,
         sum(n) AS n, sum(value_n) AS value_n, sum(sum_intensity) AS sum_intensity,
         sum(answered_n) AS answered_n, sum(resisted_n) AS resisted_n,
         sum(night_n) AS night_n, sum(morning_n) AS morning_n, sum(afternoon_n) AS afternoon_n,
         sum(evening_n) AS evening_n, sum(late_evening_n) AS late_evening_n
  FROM placed
  GROUP BY user_id, grain, craving, start_month, months
),
observed AS (
  SELECT periods.*,
         greatest(period_start, first_day) AS observed_start,
         least(period_end, CAST(last_day + INTERVAL '1 day' AS DATE)) AS observed_end
  FROM periods
),
rated AS (
  SELECT observed.*,
         CAST(observed_end AS INT) - CAST(observed_start AS INT) AS observed_days,
         n * 7.0 / (CAST(observed_end AS INT) - CAST(observed_start AS INT)) AS per_week,
         greatest(night_n, morning_n, afternoon_n, evening_n, late_evening_n) AS busiest_n
  FROM observed
),
neighbours AS (
  SELECT rated.*,
         lag(n) OVER earlier AS last_n,
         lag(per_week) OVER earlier AS last_per_week,
         lag(period_end) OVER earlier = period_start AND lag(observed_days) OVER earlier >= 7 AS comparable
  FROM rated
  WINDOW earlier AS (PARTITION BY user_id, grain, craving ORDER BY period_start)
),
compared AS (
  SELECT neighbours.*,
         CASE WHEN comparable THEN last_n END AS n_before,
         CASE WHEN comparable THEN last_per_week END AS per_week_before
  FROM neighbours
)
SELECT user_id,
       grain,
       period_start,
       period_end,                      -- not part of it
       observed_start,
       observed_end,                    -- not part of it
       observed_days,
       craving,
       n,
       per_week,
       n_before,
       per_week_before,
       (per_week / per_week_before - 1) * 100 AS change_pct,
       CASE busiest_n WHEN night_n THEN 'night' WHEN morning_n THEN 'morning' WHEN afternoon_n THEN 'afternoon'
         WHEN evening_n THEN 'evening' ELSE 'late_evening' END AS busiest_part,
       CAST(busiest_n AS DOUBLE) / n AS busiest_share,
       sum_intensity / nullif(value_n, 0) AS mean_intensity,
       answered_n,
       resisted_n,
       period_marker(grain, craving, observed_start, observed_end, n, value_n, sum_intensity,
                     night_n, morning_n, afternoon_n, evening_n, late_evening_n, per_week_before) AS marker
FROM compared
WHERE n >= 5 AND observed_days >= 7
