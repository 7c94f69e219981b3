-- a hop over data with long gaps
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  x DOUBLE,
  ok BOOLEAN NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/events.json', format = 'json', type = 'source');

CREATE TABLE output (end TIMESTAMP, who TEXT, rows BIGINT, total BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

INSERT INTO output
SELECT window.end, who, rows, total FROM (
  SELECT hop(INTERVAL '15 minutes', INTERVAL '2 hours') AS window, who, count(*) AS rows, sum(n) AS total
  FROM events GROUP BY window, who);
