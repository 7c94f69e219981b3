CREATE TABLE out (start TIMESTAMP, user_id TEXT, n BIGINT, hrv_ms DOUBLE)
WITH (connector = '$sink', path = '$output', format = 'json', type = 'sink');

INSERT INTO out SELECT c.window.start, c.user_id, c.n, h.hrv_ms FROM
  (SELECT tumble(INTERVAL '1 day') AS window, user_id, count(*) AS n
   FROM events WHERE craving = 'sugar' GROUP BY window, user_id) AS c
  JOIN
  (SELECT tumble(INTERVAL '1 day') AS window, user_id, avg(hrv_ms) AS hrv_ms
   FROM events GROUP BY window, user_id) AS h
  ON c.window = h.window AND c.user_id = h.user_id;
