-- one clock is years ahead, and the rows after it are late
--late
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/fast.json', format = 'json', type = 'source');

CREATE TABLE output ("start" TIMESTAMP, "end" TIMESTAMP, who TEXT, total BIGINT, place BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

INSERT INTO output
SELECT window.start, window.end, who, total, place FROM (
  SELECT *, row_number() OVER (PARTITION BY window ORDER BY total DESC, who) AS place FROM (
    SELECT tumble(INTERVAL '1 day') AS window, who, sum(n) AS total FROM events GROUP BY window, who)) WHERE place <= 2;
