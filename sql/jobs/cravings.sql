-- Silver: one row a craving, typed, with the person's own clock; only what the event itself says.
-- Corrections and retractions are not applied here: recompute does that.
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

CREATE TABLE cravings (
  event_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  event_time TIMESTAMP(6) NOT NULL,
  local_time TIMESTAMP(6) NOT NULL,
  local_date TEXT NOT NULL,
  local_hour BIGINT NOT NULL,
  local_dow BIGINT NOT NULL,        -- 0 = Sunday
  day_part TEXT NOT NULL,
  season TEXT NOT NULL,             -- of the northern half
  tz_known BOOLEAN NOT NULL,        -- false: the local columns are UTC's
  craving TEXT,
  intensity BIGINT,
  trigger TEXT,
  place TEXT,
  mood TEXT,
  company TEXT,
  note TEXT,
  resisted BOOLEAN                  -- NULL: not said
) WITH (
  connector = 'delta',
  path = '$lake/cravings',
  type = 'sink'
);

INSERT INTO cravings
SELECT event_id, user_id,
       CAST(event_time AS TIMESTAMP(6)),
       CAST(local AS TIMESTAMP(6)),
       local_date(event_time, tz_offset_min, tz),
       CAST(extract(hour FROM local) AS BIGINT),
       CAST(extract(dow FROM local) AS BIGINT),
       day_part(CAST(extract(hour FROM local) AS BIGINT)),
       season(CAST(extract(month FROM local) AS BIGINT), false),
       tz_known(tz_offset_min, tz),
       extract_json_string(payload, '$.craving'),
       TRY_CAST(get_first_json_object(payload, '$.intensity') AS BIGINT),
       extract_json_string(payload, '$.trigger'),
       extract_json_string(payload, '$.place'),
       extract_json_string(payload, '$.mood'),
       extract_json_string(payload, '$.company'),
       extract_json_string(payload, '$.note'),
       TRY_CAST(get_first_json_object(payload, '$.resisted') AS BOOLEAN)
FROM (
  SELECT event_id, user_id, event_time, tz_offset_min, tz, payload,
         local_time(event_time, tz_offset_min, tz) AS local
  FROM events
  WHERE kind = 'craving');
