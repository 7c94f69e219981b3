-- Spells of cravings: less than three hours apart are one. The simulation's own job, for tables of sessions.
CREATE TABLE events (
  event_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  event_time TIMESTAMP NOT NULL,
  payload TEXT NOT NULL,
  WATERMARK FOR event_time AS event_time - INTERVAL '10 minutes'
) WITH (
  connector = 'log',
  topic = 'crave.events.v1',
  format = 'json',
  type = 'source'
);

CREATE TABLE spells (
  window_start TIMESTAMP(6) NOT NULL,
  window_end TIMESTAMP(6) NOT NULL,
  user_id TEXT NOT NULL,
  craving TEXT,
  n BIGINT NOT NULL,
  strongest BIGINT
) WITH (
  connector = 'delta',
  path = '$lake/spells',
  type = 'sink'
);

INSERT INTO spells
SELECT CAST(window.start AS TIMESTAMP(6)), CAST(window.end AS TIMESTAMP(6)), user_id, craving, n, strongest
FROM (
  SELECT session(INTERVAL '3 hours') AS window, user_id, craving, count(*) AS n, max(intensity) AS strongest
  FROM (
    SELECT user_id, event_time,
           extract_json_string(payload, '$.craving') AS craving,
           TRY_CAST(get_first_json_object(payload, '$.intensity') AS BIGINT) AS intensity
    FROM events
    WHERE kind = 'craving')
  GROUP BY window, user_id, craving);
