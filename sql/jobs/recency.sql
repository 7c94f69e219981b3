-- Gold: the last 30 days, every day, by person and craving. Counts are exact; the decayed sums halve every 7 days and
-- are given at the window's end. Inside, their exponent is anchored at 2026-01-01, so that panes add up.
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

CREATE TABLE recency (
  window_start TIMESTAMP(6) NOT NULL,
  window_end TIMESTAMP(6) NOT NULL,
  user_id TEXT NOT NULL,
  craving TEXT NOT NULL,
  n BIGINT NOT NULL,
  sum_intensity BIGINT NOT NULL,
  answered_n BIGINT NOT NULL,       -- said whether it was resisted
  resisted_n BIGINT NOT NULL,
  decayed_n DOUBLE NOT NULL,
  decayed_intensity DOUBLE NOT NULL
) WITH (
  connector = 'delta',
  path = '$lake/recency',
  type = 'sink'
);

CREATE VIEW weighted AS
SELECT user_id,
       coalesce(extract_json_string(payload, '$.craving'), 'unknown') AS craving,
       coalesce(TRY_CAST(get_first_json_object(payload, '$.intensity') AS BIGINT), 0) AS intensity,
       TRY_CAST(get_first_json_object(payload, '$.resisted') AS BOOLEAN) AS resisted,
       power(2.0, (CAST(extract(epoch FROM event_time) AS DOUBLE) - 1767225600.0) / 604800.0) AS weight
FROM events
WHERE kind = 'craving';

INSERT INTO recency
SELECT CAST(window.start AS TIMESTAMP(6)), CAST(window.end AS TIMESTAMP(6)), user_id, craving,
       n, sum_intensity, answered_n, resisted_n,
       anchored_n * power(2.0, -(CAST(extract(epoch FROM window.end) AS DOUBLE) - 1767225600.0) / 604800.0),
       anchored_intensity * power(2.0, -(CAST(extract(epoch FROM window.end) AS DOUBLE) - 1767225600.0) / 604800.0)
FROM (
  SELECT hop(INTERVAL '1 day', INTERVAL '30 days') AS window, user_id, craving,
         count(*) AS n,
         sum(intensity) AS sum_intensity,
         count(resisted) AS answered_n,
         sum(CASE WHEN resisted THEN 1 ELSE 0 END) AS resisted_n,
         sum(weight) AS anchored_n,
         sum(intensity * weight) AS anchored_intensity
  FROM weighted
  GROUP BY window, user_id, craving);
