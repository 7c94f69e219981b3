-- Bronze: every admitted event as it came, corrections and retractions among them. Heartbeats only carry time.
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

CREATE TABLE events_out (
  event_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  device_id TEXT,
  source TEXT,
  app_version TEXT,
  kind TEXT NOT NULL,
  event_time TIMESTAMP(6) NOT NULL,
  tz_offset_min BIGINT,
  tz TEXT,
  received_at TIMESTAMP(6) NOT NULL,
  schema_version BIGINT NOT NULL,
  payload TEXT NOT NULL
) WITH (
  connector = 'delta',
  path = '$lake/events',
  type = 'sink'
);

INSERT INTO events_out
SELECT event_id, user_id, device_id, source, app_version, kind,
       CAST(event_time AS TIMESTAMP(6)),
       tz_offset_min, tz,
       CAST(received_at AS TIMESTAMP(6)),
       schema_version, payload
FROM events
WHERE kind <> 'heartbeat';
