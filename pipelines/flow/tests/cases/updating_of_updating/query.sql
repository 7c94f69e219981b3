-- an aggregate of an aggregate that changes, with a time to live
--pk=rows
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/events.json', format = 'json', type = 'source');

CREATE TABLE output (rows BIGINT, groups BIGINT, least BIGINT, most BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'debezium_json', type = 'sink');

SET updating_ttl = INTERVAL '7 days';

INSERT INTO output
SELECT rows, count(*), min(n), max(n) FROM (SELECT who, n, count(*) AS rows FROM events GROUP BY who, n) GROUP BY rows;
