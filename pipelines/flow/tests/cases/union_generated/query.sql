-- two branches of one source with a generated event time
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  x DOUBLE,
  ok BOOLEAN NOT NULL,
  local TIMESTAMP GENERATED ALWAYS AS (ts + INTERVAL 3 hours),
  WATERMARK FOR local AS local - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/events.json', format = 'json', type = 'source');

CREATE TABLE output (day TIMESTAMP, rows BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

INSERT INTO output (rows, day)
SELECT rows, window.start FROM (
  SELECT tumble(INTERVAL '1 day') AS window, count(*) AS rows
  FROM (SELECT id FROM events WHERE n >= 5 UNION ALL SELECT id FROM events AS again WHERE ok)
  GROUP BY window);
