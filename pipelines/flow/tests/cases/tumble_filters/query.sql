-- FILTER, DISTINCT, NULL keys and HAVING
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  x DOUBLE,
  ok BOOLEAN NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/events.json', format = 'json', type = 'source');

CREATE TABLE output (start TIMESTAMP(6), who TEXT, rows BIGINT, good BIGINT, kinds BIGINT, low DOUBLE, mean DOUBLE)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

INSERT INTO output
SELECT window.start, who, rows, good, kinds, low, mean FROM (
  SELECT tumble(INTERVAL '1 hour') AS window, who, count(*) AS rows, count(*) FILTER (WHERE ok) AS good,
         count(DISTINCT n) AS kinds, min(x) AS low, avg(n) FILTER (WHERE ok) AS mean
  FROM events GROUP BY window, who HAVING count(*) > 2);
