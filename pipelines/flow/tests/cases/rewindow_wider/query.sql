-- hours windowed again into days
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/events.json', format = 'json', type = 'source');

CREATE TABLE output ("start" TIMESTAMP, who TEXT, hours BIGINT, busiest BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

INSERT INTO output
SELECT window.start, who, hours, busiest FROM (
  SELECT tumble(INTERVAL '1 day') AS window, who, count(*) AS hours, max(rows) AS busiest FROM (
    SELECT tumble(INTERVAL '1 hour') AS hour, who, count(*) AS rows FROM events GROUP BY hour, who)
  GROUP BY window, who);
