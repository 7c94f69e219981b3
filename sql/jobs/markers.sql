-- Trend markers as memories: each 30 days of a craving in a sentence, remembered at the last craving it tells of.
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

CREATE TABLE memories (
  user_id TEXT NOT NULL,
  memory_id TEXT NOT NULL,          -- the same text always has the same id, so that replay is harmless
  kind TEXT NOT NULL,
  event_time TIMESTAMP(6) NOT NULL,
  text TEXT NOT NULL
) WITH (
  connector = 'log',
  topic = 'crave.memories.v1',
  format = 'json',
  'sink.key_field' = 'user_id',
  type = 'sink'
);

CREATE VIEW parts AS
SELECT user_id, event_time,
       coalesce(extract_json_string(payload, '$.craving'), 'unknown') AS craving,
       coalesce(TRY_CAST(get_first_json_object(payload, '$.intensity') AS BIGINT), 0) AS intensity,
       day_part(local_hour(event_time, tz_offset_min, tz)) AS part
FROM events
WHERE kind = 'craving';

INSERT INTO memories
SELECT user_id, memory_id, 'trend', CAST(last_time AS TIMESTAMP(6)), text
FROM (
  SELECT user_id,
         concat('trend/', craving, '/', CAST(window.start AS TEXT)) AS memory_id,
         last_time,
         trend_marker(craving, window.start, window.end, n, sum_intensity, night_n, morning_n, afternoon_n, evening_n, late_evening_n,
                      CAST(NULL AS BIGINT)) AS text
  FROM (
    SELECT tumble(INTERVAL '30 days') AS window, user_id, craving,
           count(*) AS n,
           sum(intensity) AS sum_intensity,
           max(event_time) AS last_time,
           sum(CASE WHEN part = 'night' THEN 1 ELSE 0 END) AS night_n,
           sum(CASE WHEN part = 'morning' THEN 1 ELSE 0 END) AS morning_n,
           sum(CASE WHEN part = 'afternoon' THEN 1 ELSE 0 END) AS afternoon_n,
           sum(CASE WHEN part = 'evening' THEN 1 ELSE 0 END) AS evening_n,
           sum(CASE WHEN part = 'late_evening' THEN 1 ELSE 0 END) AS late_evening_n
    FROM parts
    GROUP BY window, user_id, craving))
WHERE text IS NOT NULL;
