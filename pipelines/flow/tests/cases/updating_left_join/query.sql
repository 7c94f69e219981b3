-- a left join over all time
--pk=id
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

CREATE TABLE output (id BIGINT, who TEXT, other BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'debezium_json', type = 'sink');

INSERT INTO output
SELECT e.id, e.who, o.n FROM (SELECT id, who FROM events WHERE n = 9) AS e LEFT JOIN others AS o ON e.id = o.id;
