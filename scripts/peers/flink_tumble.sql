CREATE TABLE src (ts TIMESTAMP_LTZ(3), event_id BIGINT, user_id STRING, craving STRING, intensity BIGINT, hrv_ms DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '2' MINUTE) WITH ('connector'='filesystem','path'='$input','format'='json','json.timestamp-format.standard'='ISO-8601');
CREATE TABLE snk (w_start TIMESTAMP_LTZ(3), user_id STRING, n BIGINT, total BIGINT, hrv_ms DOUBLE) WITH ('connector'='filesystem','path'='$output','format'='json');
INSERT INTO snk SELECT window_start, user_id, COUNT(*), SUM(intensity), AVG(hrv_ms)
FROM TUMBLE(TABLE src, DESCRIPTOR(ts), INTERVAL '1' DAY) GROUP BY window_start, window_end, user_id;
