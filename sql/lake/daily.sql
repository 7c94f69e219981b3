-- Each local day of a person, by kind and craving, of the UTC days that are closed. A local day touches two UTC days;
-- their parts add up.
SELECT user_id,
       local_date,
       kind,
       craving,
       sum(n) AS n,
       sum(value_n) AS value_n,
       sum(sum_value) AS sum_value,
       sum(sum_sq_value) AS sum_sq_value,
       min(min_value) AS min_value,
       max(max_value) AS max_value,
       sum(sum_value) / nullif(sum(value_n), 0) AS mean_value,
       sum(answered_n) AS answered_n,
       sum(resisted_n) AS resisted_n,
       sum(night_n) AS night_n,
       sum(morning_n) AS morning_n,
       sum(afternoon_n) AS afternoon_n,
       sum(evening_n) AS evening_n,
       sum(late_evening_n) AS late_evening_n
FROM daily_parts
GROUP BY user_id, local_date, kind, craving
