CREATE TABLE src (ts TIMESTAMP_LTZ(3), event_id BIGINT, user_id STRING, craving STRING, intensity BIGINT, hrv_ms DOUBLE,
  WATERMARK FOR ts AS ts - INTERVAL '2' MINUTE) WITH ('connector'='filesystem','path'='$input','format'='json','json.timestamp-format.standard'='ISO-8601');
CREATE TABLE snk (ts TIMESTAMP_LTZ(3), user_id STRING, intensity BIGINT) WITH ('connector'='filesystem','path'='$output','format'='json');
INSERT INTO snk SELECT ts, user_id, intensity FROM src WHERE craving = 'sugar' AND intensity >= 8;
