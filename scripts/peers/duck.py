"""duck.py INPUT FOLDER THREADS RUNS: the queries of `crave bench flow` in DuckDB, as batches; NDJSON out."""
import json, statistics, sys, time
import duckdb

source, folder, threads, runs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
EVENTS = f"""read_json('{source}', format = 'newline_delimited', columns = {{ts: 'TIMESTAMP', event_id: 'BIGINT',
  user_id: 'VARCHAR', craving: 'VARCHAR', intensity: 'BIGINT', hrv_ms: 'DOUBLE'}})"""
QUERIES = {
    "filter": f"SELECT ts, user_id, intensity FROM {EVENTS} WHERE craving = 'sugar' AND intensity >= 8",
    "tumble": f"""SELECT date_trunc('day', ts) AS start, user_id, count(*) AS n, sum(intensity) AS total,
      avg(hrv_ms) AS hrv_ms FROM {EVENTS} GROUP BY ALL""",
    # Daily partial aggregates, then thirty of them merged: what the stream does.
    "hop": f"""WITH daily AS (SELECT date_trunc('day', ts) AS day, user_id, count(*) AS n, sum(intensity) AS total,
        sum(intensity * power(2.0, (epoch(ts) - 1767225600.0) / 604800.0)) AS decayed FROM {EVENTS} GROUP BY ALL)
      SELECT day + to_days(CAST(i + 1 AS INTEGER)) AS w_end, user_id, sum(n) AS n, sum(total) AS total,
        sum(decayed) AS decayed FROM daily, range(30) AS r(i) GROUP BY ALL""",
}
for name, query in QUERIES.items():
    took = []
    for _ in range(runs):
        db = duckdb.connect()
        db.execute(f"SET threads = {threads}")
        out = f"{folder}/duck-{name}.json"
        start = time.perf_counter()
        db.execute(f"COPY ({query}) TO '{out}' (FORMAT JSON)")
        took.append(time.perf_counter() - start)
        db.close()
    with open(out, "rb") as lines:
        rows = sum(1 for _ in lines)
    print(json.dumps({"query": name, "seconds": round(statistics.median(took), 3), "rows_out": rows}))
