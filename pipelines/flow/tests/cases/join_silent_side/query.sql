-- a full join whose other side falls silent
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

CREATE TABLE output ("start" TIMESTAMP, "end" TIMESTAMP, who TEXT, a BIGINT, b BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

INSERT INTO output
SELECT coalesce(a.window.start, b.window.start), coalesce(a.window.end, b.window.end), coalesce(a.who, b.who), a.rows, b.rows FROM
  (SELECT tumble(INTERVAL '1 day') AS window, who, count(*) AS rows FROM events GROUP BY window, who) AS a
  FULL JOIN
  (SELECT tumble(INTERVAL '1 day') AS window, who, count(*) AS rows FROM others GROUP BY window, who) AS b
  ON a.window = b.window AND a.who = b.who;
