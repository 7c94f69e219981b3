-- Corrections and retractions, one row each. The table `events` keeps them too; here they are typed, so that
-- `events_current` is a join of a large table with a small one.
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

CREATE TABLE corrections (
  event_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  kind TEXT NOT NULL,               -- correct, retract
  received_at TIMESTAMP(6) NOT NULL,
  target TEXT NOT NULL,             -- event_id of the original
  revision BIGINT,                  -- NULL for a retraction
  target_kind TEXT,                 -- kind of the corrected event
  event_time TIMESTAMP(6),          -- when it really happened
  tz_offset_min BIGINT,
  payload TEXT                      -- its whole new payload
) WITH (
  connector = 'delta',
  path = '$lake/corrections',
  type = 'sink'
);

INSERT INTO corrections
SELECT event_id,
       user_id,
       kind,
       CAST(received_at AS TIMESTAMP(6)),
       extract_json_string(payload, '$.target'),
       CAST(get_first_json_object(payload, '$.revision') AS BIGINT),
       extract_json_string(payload, '$.kind'),
       CAST(extract_json_string(payload, '$.event_time') AS TIMESTAMP(6)),
       CAST(get_first_json_object(payload, '$.tz_offset_min') AS BIGINT),
       get_first_json_object(payload, '$.body')
FROM events
WHERE kind IN ('correct', 'retract');
