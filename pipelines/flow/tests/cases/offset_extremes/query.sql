-- local days at the ends of the world, before and after 1970
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  tz_offset_min BIGINT NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/offsets.json', format = 'json', type = 'source');

CREATE TABLE output ("start" TIMESTAMP, who TEXT, local_day TIMESTAMP, rows BIGINT, total BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

INSERT INTO output
SELECT window.start, who, local_day, rows, total FROM (
  SELECT tumble(INTERVAL '1 day') AS window, who, local_day, count(*) AS rows, sum(n) AS total FROM (
    SELECT who, n, date_trunc('day', to_timestamp_millis(CAST(extract(epoch FROM ts) * 1000 AS BIGINT) + tz_offset_min * 60000)) AS local_day
    FROM events) GROUP BY window, who, local_day);
