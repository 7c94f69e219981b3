CREATE TABLE out (start TIMESTAMP, user_id TEXT, n BIGINT, total BIGINT, hrv_ms DOUBLE)
WITH (connector = '$sink', path = '$output', format = 'json', type = 'sink');

INSERT INTO out SELECT window.start, user_id, n, total, hrv_ms FROM (
  SELECT tumble(INTERVAL '1 day') AS window, user_id, count(*) AS n, sum(intensity) AS total, avg(hrv_ms) AS hrv_ms
  FROM events GROUP BY window, user_id);
