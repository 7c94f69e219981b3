-- disorder longer than the gap: rows join sessions that were apart
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/events.json', format = 'json', type = 'source');

CREATE TABLE output ("start" TIMESTAMP, "end" TIMESTAMP, who TEXT, rows BIGINT, total BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

INSERT INTO output
SELECT window.start, window.end, who, rows, total FROM (
  SELECT session(INTERVAL '5 minutes') AS window, who, count(*) AS rows, sum(n) AS total
  FROM events GROUP BY window, who);
