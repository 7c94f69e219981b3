CREATE TABLE out (w_end TIMESTAMP, user_id TEXT, n BIGINT, total BIGINT, decayed DOUBLE)
WITH (connector = '$sink', path = '$output', format = 'json', type = 'sink');

INSERT INTO out SELECT window.end, user_id, n, total, decayed FROM (
  SELECT hop(INTERVAL '1 day', INTERVAL '30 days') AS window, user_id, count(*) AS n, sum(intensity) AS total,
         sum(intensity * power(2.0, (CAST(extract(epoch FROM ts) AS DOUBLE) - 1767225600.0) / 604800.0)) AS decayed
  FROM events GROUP BY window, user_id);
