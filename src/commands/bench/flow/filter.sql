CREATE TABLE out (ts TIMESTAMP, user_id TEXT, intensity BIGINT)
WITH (connector = '$sink', path = '$output', format = 'json', type = 'sink');

INSERT INTO out SELECT ts, user_id, intensity FROM events WHERE craving = 'sugar' AND intensity >= 8;
