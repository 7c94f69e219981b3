-- Gold: 30 days compressed, by person and craving. Every column adds up (or is a min or max), so that the view `trends`
-- puts months, seasons and half-years together; the marker says the 30 days in a sentence. The slope sums are over
-- t = days since 2026-01-01 and the intensity.
CREATE TABLE events (
  event_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  device_id TEXT,
  source TEXT,
  app_version TEXT,
  kind TEXT NOT NULL,
  event_time TIMESTAMP NOT NULL,
  tz_offset_min BIGINT,
  tz TEXT,
  received_at TIMESTAMP NOT NULL,
  schema_version BIGINT NOT NULL,
  payload TEXT NOT NULL,
  WATERMARK FOR event_time AS event_time - INTERVAL '10 minutes'
) WITH (
  connector = 'log',
  topic = 'crave.events.v1',
  format = 'json',
  type = 'source'
);

CREATE TABLE trend_parts (
  window_start TIMESTAMP(6) NOT NULL,
  window_end TIMESTAMP(6) NOT NULL,
  user_id TEXT NOT NULL,
  craving TEXT NOT NULL,
  n BIGINT NOT NULL,
  sum_intensity BIGINT NOT NULL,
  answered_n BIGINT NOT NULL,
  resisted_n BIGINT NOT NULL,
  sum_t DOUBLE NOT NULL,
  sum_t2 DOUBLE NOT NULL,
  sum_t_intensity DOUBLE NOT NULL,
  first_time TIMESTAMP(6) NOT NULL,
  last_time TIMESTAMP(6) NOT NULL,
  night_n BIGINT NOT NULL,
  morning_n BIGINT NOT NULL,
  afternoon_n BIGINT NOT NULL,
  evening_n BIGINT NOT NULL,
  late_evening_n BIGINT NOT NULL,
  sunday_n BIGINT NOT NULL,
  monday_n BIGINT NOT NULL,
  tuesday_n BIGINT NOT NULL,
  wednesday_n BIGINT NOT NULL,
  thursday_n BIGINT NOT NULL,
  friday_n BIGINT NOT NULL,
  saturday_n BIGINT NOT NULL,
  trigger_stress_n BIGINT NOT NULL,
  trigger_boredom_n BIGINT NOT NULL,
  trigger_hunger_n BIGINT NOT NULL,
  trigger_tiredness_n BIGINT NOT NULL,
  trigger_social_n BIGINT NOT NULL,
  trigger_habit_n BIGINT NOT NULL,
  trigger_other_n BIGINT NOT NULL,
  trigger_none_n BIGINT NOT NULL,
  marker TEXT
) WITH (
  connector = 'delta',
  path = '$lake/trend_parts',
  type = 'sink'
);

CREATE VIEW parts AS
SELECT user_id, event_time, craving, intensity, resisted,
       CASE
         WHEN trigger IS NULL THEN 'none'
         WHEN trigger LIKE '%stress%' OR trigger = 'work' THEN 'stress'
         WHEN trigger LIKE '%bored%' THEN 'boredom'
         WHEN trigger LIKE '%hung%' THEN 'hunger'
         WHEN trigger LIKE '%tired%' OR trigger = 'fatigue' THEN 'tiredness'
         WHEN trigger LIKE '%party%' OR trigger LIKE '%friend%' OR trigger IN ('social', 'company') THEN 'social'
         WHEN trigger LIKE '%habit%' OR trigger IN ('routine', 'after meal', 'coffee') THEN 'habit'
         ELSE 'other'
       END AS trigger_group,
       day_part(local_hour(event_time, tz_offset_min, tz)) AS part,
       local_dow(event_time, tz_offset_min, tz) AS dow,
       (CAST(extract(epoch FROM event_time) AS DOUBLE) - 1767225600.0) / 86400.0 AS t
FROM (
  SELECT user_id, event_time, tz_offset_min, tz,
         coalesce(extract_json_string(payload, '$.craving'), 'unknown') AS craving,
         coalesce(TRY_CAST(get_first_json_object(payload, '$.intensity') AS BIGINT), 0) AS intensity,
         TRY_CAST(get_first_json_object(payload, '$.resisted') AS BOOLEAN) AS resisted,
         extract_json_string(payload, '$.trigger') AS trigger
  FROM events
  WHERE kind = 'craving');

INSERT INTO trend_parts
SELECT CAST(window.start AS TIMESTAMP(6)), CAST(window.end AS TIMESTAMP(6)), user_id, craving,
       n, sum_intensity, answered_n, resisted_n, sum_t, sum_t2, sum_t_intensity,
       CAST(first_time AS TIMESTAMP(6)), CAST(last_time AS TIMESTAMP(6)),
       night_n, morning_n, afternoon_n, evening_n, late_evening_n,
       sunday_n, monday_n, tuesday_n, wednesday_n, thursday_n, friday_n, saturday_n,
       trigger_stress_n, trigger_boredom_n, trigger_hunger_n, trigger_tiredness_n, trigger_social_n, trigger_habit_n, trigger_other_n, trigger_none_n,
       trend_marker(craving, window.start, window.end, n, sum_intensity, night_n, morning_n, afternoon_n, evening_n, late_evening_n,
                    CAST(NULL AS BIGINT))
FROM (
  SELECT tumble(INTERVAL '30 days') AS window, user_id, craving,
         count(*) AS n,
         sum(intensity) AS sum_intensity,
         count(resisted) AS answered_n,
         sum(CASE WHEN resisted THEN 1 ELSE 0 END) AS resisted_n,
         sum(t) AS sum_t,
         sum(t * t) AS sum_t2,
         sum(t * intensity) AS sum_t_intensity,
         min(event_time) AS first_time,
         max(event_time) AS last_time,
         sum(CASE WHEN part = 'night' THEN 1 ELSE 0 END) AS night_n,
         sum(CASE WHEN part = 'morning' THEN 1 ELSE 0 END) AS morning_n,
         sum(CASE WHEN part = 'afternoon' THEN 1 ELSE 0 END) AS afternoon_n,
         sum(CASE WHEN part = 'evening' THEN 1 ELSE 0 END) AS evening_n,
         sum(CASE WHEN part = 'late_evening' THEN 1 ELSE 0 END) AS late_evening_n,
         sum(CASE WHEN dow = 0 THEN 1 ELSE 0 END) AS sunday_n,
         sum(CASE WHEN dow = 1 THEN 1 ELSE 0 END) AS monday_n,
         sum(CASE WHEN dow = 2 THEN 1 ELSE 0 END) AS tuesday_n,
         sum(CASE WHEN dow = 3 THEN 1 ELSE 0 END) AS wednesday_n,
         sum(CASE WHEN dow = 4 THEN 1 ELSE 0 END) AS thursday_n,
         sum(CASE WHEN dow = 5 THEN 1 ELSE 0 END) AS friday_n,
         sum(CASE WHEN dow = 6 THEN 1 ELSE 0 END) AS saturday_n,
         sum(CASE WHEN trigger_group = 'stress' THEN 1 ELSE 0 END) AS trigger_stress_n,
         sum(CASE WHEN trigger_group = 'boredom' THEN 1 ELSE 0 END) AS trigger_boredom_n,
         sum(CASE WHEN trigger_group = 'hunger' THEN 1 ELSE 0 END) AS trigger_hunger_n,
         sum(CASE WHEN trigger_group = 'tiredness' THEN 1 ELSE 0 END) AS trigger_tiredness_n,
         sum(CASE WHEN trigger_group = 'social' THEN 1 ELSE 0 END) AS trigger_social_n,
         sum(CASE WHEN trigger_group = 'habit' THEN 1 ELSE 0 END) AS trigger_habit_n,
         sum(CASE WHEN trigger_group = 'other' THEN 1 ELSE 0 END) AS trigger_other_n,
         sum(CASE WHEN trigger_group = 'none' THEN 1 ELSE 0 END) AS trigger_none_n
  FROM parts
  GROUP BY window, user_id, craving);
