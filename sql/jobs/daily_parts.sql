-- Gold: one row a UTC day, person, local date, kind and craving; every column adds up (or is a min or max), so that the
-- view `daily` puts a local day together from the one or two UTC days it touches. `value` is the intensity of a craving,
-- the reading of a measure, the valence of a mood, the minutes asleep of a sleep.
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

CREATE TABLE daily_parts (
  window_start TIMESTAMP(6) NOT NULL,
  window_end TIMESTAMP(6) NOT NULL,
  user_id TEXT NOT NULL,
  local_date TEXT NOT NULL,
  kind TEXT NOT NULL,
  craving TEXT NOT NULL,            -- '' for kinds that have none
  n BIGINT NOT NULL,
  value_n BIGINT NOT NULL,          -- rows that have a value
  sum_value DOUBLE,
  sum_sq_value DOUBLE,
  min_value DOUBLE,
  max_value DOUBLE,
  answered_n BIGINT NOT NULL,
  resisted_n BIGINT NOT NULL,
  night_n BIGINT NOT NULL,
  morning_n BIGINT NOT NULL,
  afternoon_n BIGINT NOT NULL,
  evening_n BIGINT NOT NULL,
  late_evening_n BIGINT NOT NULL
) WITH (
  connector = 'delta',
  path = '$lake/daily_parts',
  type = 'sink'
);

CREATE VIEW readings AS
SELECT user_id, kind,
       local_date(event_time, tz_offset_min, tz) AS local_date,
       day_part(local_hour(event_time, tz_offset_min, tz)) AS part,
       coalesce(extract_json_string(payload, '$.craving'), '') AS craving,
       CASE kind
         WHEN 'craving' THEN TRY_CAST(get_first_json_object(payload, '$.intensity') AS DOUBLE)
         WHEN 'mood' THEN TRY_CAST(get_first_json_object(payload, '$.valence') AS DOUBLE)
         WHEN 'sleep' THEN sleep_minutes(payload)
         ELSE TRY_CAST(get_first_json_object(payload, '$.value') AS DOUBLE)
       END AS value,
       TRY_CAST(get_first_json_object(payload, '$.resisted') AS BOOLEAN) AS resisted
FROM events
WHERE kind IN ('craving', 'lapse', 'mood', 'sleep', 'hrv_sdnn_ms', 'hrv_rmssd_ms', 'heart_rate_bpm',
               'resting_heart_rate_bpm', 'steps', 'distance_m');

INSERT INTO daily_parts
SELECT CAST(window.start AS TIMESTAMP(6)), CAST(window.end AS TIMESTAMP(6)), user_id, local_date, kind, craving,
       n, value_n, sum_value, sum_sq_value, min_value, max_value, answered_n, resisted_n,
       night_n, morning_n, afternoon_n, evening_n, late_evening_n
FROM (
  SELECT tumble(INTERVAL '1 day') AS window, user_id, local_date, kind, craving,
         count(*) AS n,
         count(value) AS value_n,
         sum(value) AS sum_value,
         sum(value * value) AS sum_sq_value,
         min(value) AS min_value,
         max(value) AS max_value,
         count(resisted) AS answered_n,
         sum(CASE WHEN resisted THEN 1 ELSE 0 END) AS resisted_n,
         sum(CASE WHEN part = 'night' THEN 1 ELSE 0 END) AS night_n,
         sum(CASE WHEN part = 'morning' THEN 1 ELSE 0 END) AS morning_n,
         sum(CASE WHEN part = 'afternoon' THEN 1 ELSE 0 END) AS afternoon_n,
         sum(CASE WHEN part = 'evening' THEN 1 ELSE 0 END) AS evening_n,
         sum(CASE WHEN part = 'late_evening' THEN 1 ELSE 0 END) AS late_evening_n
  FROM readings
  GROUP BY window, user_id, local_date, kind, craving);
