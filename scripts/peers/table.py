"""table.py FOLDER: one table of what bench_peers.sh measured."""
import json, os, sys

folder = sys.argv[1]


def lines(name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        return {row["query"]: row for row in map(json.loads, file)}


with open(os.path.join(folder, "crave.json")) as file:
    crave = json.load(file)
if not crave["optimised"]:
    print("bench_peers: this is not a release build", file=sys.stderr)
others = {"DataFusion": {}, "DuckDB": lines("duckdb.json"), "Flink": lines("flink.json")}
print(f"{'query':8} {'engine':12} {'seconds':>8} {'rows/s':>12} {'rows out':>9}  flow against it")
for one in crave["results"]:
    query, rows, flow = one["query"], one["rows"], one.get("flow")
    if flow is None:
        print(f"{query:8} crave flow   refused: {one['refused']}")
        continue
    print(f"{query:8} {'crave flow':12} {flow['seconds']:8.3f} {rows / flow['seconds']:12,.0f} {flow['rows_out']:9}")
    others["DataFusion"][query] = one.get("datafusion")
    for name, found in others.items():
        peer = found.get(query)
        if not peer:
            print(f"{'':8} {name:12} not measured")
            continue
        ratio = peer["seconds"] / flow["seconds"]
        says = f"{ratio:.1f}x its rows/s" if ratio >= 1 else f"{1 / ratio:.2f}x its time"
        same = "" if peer["rows_out"] == flow["rows_out"] else "  (another number of rows!)"
        print(f"{'':8} {name:12} {peer['seconds']:8.3f} {rows / peer['seconds']:12,.0f} {peer['rows_out']:9}  {says}{same}")
