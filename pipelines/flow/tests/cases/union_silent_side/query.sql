-- two sources in one window, one of which falls silent
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/events.json', format = 'json', type = 'source');

CREATE TABLE others (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/silent.json', format = 'json', type = 'source');

CREATE TABLE output ("start" TIMESTAMP, "end" TIMESTAMP, who TEXT, rows BIGINT, total BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

INSERT INTO output
SELECT window.start, window.end, who, rows, total FROM (
  SELECT hop(INTERVAL '30 minutes', INTERVAL '2 hours') AS window, who, count(*) AS rows, sum(n) AS total FROM (
    SELECT who, n FROM events UNION ALL SELECT who, n FROM others) GROUP BY window, who);
