-- elements of lists, counted by day
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/events.json', format = 'json', type = 'source');

CREATE TABLE output ("start" TIMESTAMP, m BIGINT, rows BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

INSERT INTO output
SELECT window.start, m, rows FROM (
  SELECT tumble(INTERVAL '1 day') AS window, m, count(*) AS rows
  FROM (SELECT unnest(make_array(n, 9 - n)) AS m FROM events) GROUP BY window, m);
