-- Text to remember: what a person wrote, as a memory of that moment.
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

INSERT INTO memories
SELECT user_id, event_id, kind, CAST(event_time AS TIMESTAMP(6)), text
FROM (
  SELECT user_id, event_id, kind, event_time,
         CASE kind
           WHEN 'journal' THEN extract_json_string(payload, '$.text')
           ELSE extract_json_string(payload, '$.note')
         END AS text
  FROM events
  WHERE kind IN ('craving', 'lapse', 'mood', 'journal'))
WHERE text IS NOT NULL AND text <> '';
