CREATE TABLE out (start TIMESTAMP, user_id TEXT, total BIGINT, place BIGINT)
WITH (connector = '$sink', path = '$output', format = 'json', type = 'sink');

INSERT INTO out SELECT window.start, user_id, total, place FROM (
  SELECT *, row_number() OVER (PARTITION BY window ORDER BY total DESC, user_id) AS place FROM (
    SELECT tumble(INTERVAL '1 day') AS window, user_id, sum(intensity) AS total
    FROM events GROUP BY window, user_id)) WHERE place <= 10;
