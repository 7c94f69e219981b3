-- How much each craving still weighs at $as_of: a day counts fully for 30 days, then half every 90 days, never below
-- 5 % (see `recency_weight`). By local day, up to the moment.
SELECT craving,
       sum(n) AS n,
       sum(n * weight) AS weighted_n,
       sum(sum_intensity * weight) / nullif(sum(value_n * weight), 0) AS weighted_intensity,
       min(local_date) AS first_date,
       max(local_date) AS last_date
FROM (
  SELECT d.*, recency_weight(CAST(CAST($as_of AS DATE) AS INT) - CAST(CAST(local_date AS DATE) AS INT), 90, 0.05) AS weight
  FROM daily_now d
  WHERE CAST(CAST(local_date AS DATE) AS INT) <= CAST(CAST($as_of AS DATE) AS INT) + 1)
GROUP BY craving
ORDER BY weighted_n DESC, craving
