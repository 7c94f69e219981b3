-- an aggregate of an aggregate over the same hops
CREATE TABLE events (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,
  x DOUBLE,
  ok BOOLEAN NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/events.json', format = 'json', type = 'source');

CREATE TABLE output (start TIMESTAMP, people BIGINT, most BIGINT)
WITH (connector = 'single_file', path = '$output_path', format = 'json', type = 'sink');

CREATE VIEW by_person AS
SELECT hop(INTERVAL '1 hour', INTERVAL '6 hours') AS window, who, count(*) AS rows FROM events GROUP BY window, who;

INSERT INTO output
SELECT window.start, count(*) AS people, max(rows) AS most FROM by_person GROUP BY window;
