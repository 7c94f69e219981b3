#!/usr/bin/env python3
"""Makes the input and the expected rows of these cases: small, seeded, computed here without any SQL engine."""
import json, os, random
from collections import defaultdict
from datetime import datetime, timedelta

here = os.path.dirname(os.path.abspath(__file__))
rng = random.Random(7)
start = datetime(2026, 1, 1)
at = start
rows = []
for i in range(1500):
    # Long silences, so that hops have gaps; disorder below the watermark's 10 minutes.
    at += timedelta(seconds=rng.choice([5, 30, 60, 200, 3600 if rng.random() < 0.1 else 60, 86400 * 3 if rng.random() < 0.06 else 1]))
    ts = at - timedelta(seconds=rng.randint(0, 500))
    rows.append({"ts": ts.isoformat(timespec="milliseconds") + "Z", "id": i, "who": rng.choice(["a", "b", "c", None, "é"]),
                 "n": rng.randint(0, 9), "x": rng.choice([None, 0.1, 0.5, 2.25]), "ok": rng.random() < 0.4})
with open(os.path.join(here, "events.json"), "w") as f:
    for r in rows:
        f.write(json.dumps(r) + "\n")

for r in rows:
    r["t"] = datetime.fromisoformat(r["ts"][:-1])
epoch = datetime(1970, 1, 1)
def floor(t, width):
    return epoch + ((t - epoch) // width) * width
def iso(t):
    return t.isoformat()
def write(case, out):
    with open(os.path.join(here, case, "expected.json"), "w") as f:
        for r in out:
            f.write(json.dumps(r) + "\n")

hour, day, quarter = timedelta(hours=1), timedelta(days=1), timedelta(minutes=15)
groups = defaultdict(list)
for r in rows:
    groups[(floor(r["t"], hour), r["who"])].append(r)
write("tumble_filters", [
    {"start": iso(s), "who": w, "rows": len(g), "good": sum(r["ok"] for r in g), "kinds": len({r["n"] for r in g}),
     "low": min((r["x"] for r in g if r["x"] is not None), default=None),
     "mean": (lambda v: sum(v) / len(v) if v else None)([r["n"] for r in g if r["ok"]])}
    for (s, w), g in groups.items() if len(g) > 2])

hops = defaultdict(lambda: [0, 0])
for r in rows:
    pane = floor(r["t"], quarter)
    for i in range(8):
        h = hops[(pane + quarter * (i + 1), r["who"])]
        h[0] += 1
        h[1] += r["n"]
write("hop_gaps", [{"end": iso(e), "who": w, "rows": h[0], "total": h[1]} for (e, w), h in hops.items()])

per = defaultdict(lambda: defaultdict(int))
for r in rows:
    pane = floor(r["t"], hour)
    for i in range(6):
        per[pane + hour * (i + 1)][r["who"]] += 1
write("hop_of_hop", [{"start": iso(e - 6 * hour), "people": len(p), "most": max(p.values())} for e, p in per.items()])

days = defaultdict(int)
for r in rows:
    days[floor(r["t"] + 3 * hour, day)] += (1 if r["n"] >= 5 else 0) + (1 if r["ok"] else 0)
write("union_generated", [{"day": iso(d), "rows": n} for d, n in days.items() if n])
