CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  event_id BIGINT NOT NULL,
  user_id TEXT NOT NULL,
  craving TEXT NOT NULL,
  intensity BIGINT NOT NULL,
  hrv_ms DOUBLE NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '2 minutes'
) WITH (connector = 'filesystem', path = '$input', format = '$format', type = 'source');

