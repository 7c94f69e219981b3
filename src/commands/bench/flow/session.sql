CREATE TABLE out (start TIMESTAMP, w_end TIMESTAMP, user_id TEXT, n BIGINT, peak BIGINT)
WITH (connector = '$sink', path = '$output', format = 'json', type = 'sink');

INSERT INTO out SELECT window.start, window.end, user_id, n, peak FROM (
  SELECT session(INTERVAL '6 hours') AS window, user_id, count(*) AS n, max(intensity) AS peak
  FROM events GROUP BY window, user_id);
