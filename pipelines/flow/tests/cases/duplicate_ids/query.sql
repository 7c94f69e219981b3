-- each id counts once however often it comes
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/twice.json', format = 'json', type = 'source');

CREATE TABLE output ("start" TIMESTAMP, who TEXT, ids BIGINT, rows BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

INSERT INTO output
SELECT window.start, who, ids, rows FROM (
  SELECT tumble(INTERVAL '1 day') AS window, who, count(DISTINCT id) AS ids, count(*) AS rows FROM events GROUP BY window, who);
