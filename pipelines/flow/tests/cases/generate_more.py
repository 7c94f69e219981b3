#!/usr/bin/env python3
"""The inputs and the expected rows of the cases that are about time and state: late rows, backfill, a fast clock, offsets,
sessions, ranks, joins, changes. Seeded, and computed here without any SQL engine; expected are the exact rows, late ones
included (what a caller has after it recomputed the dirty windows). Run after generate.py."""
import json, os, random
from collections import defaultdict
from datetime import datetime, timedelta

here = os.path.dirname(os.path.abspath(__file__))
epoch = datetime(1970, 1, 1)
minute, hour, day = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

def load(name):
    with open(os.path.join(here, name)) as f:
        rows = [json.loads(line) for line in f]
    for r in rows:
        r["t"] = datetime.fromisoformat(r["ts"].rstrip("Z"))
    return rows

def save(name, rows):
    with open(os.path.join(here, name), "w") as f:
        for r in rows:
            f.write(json.dumps({k: v for k, v in r.items() if k != "t"}) + "\n")

def floor(t, width):
    return epoch + ((t - epoch) // width) * width

def iso(t):
    return t.isoformat()

TABLE = """CREATE TABLE {name} (
  ts TIMESTAMP NOT NULL,
  id BIGINT NOT NULL,
  who TEXT,
  n BIGINT NOT NULL,{extra}
  WATERMARK FOR ts AS ts - INTERVAL '10 minutes'
) WITH (connector = 'single_file', path = '$input_dir/{file}', format = 'json', type = 'source');

"""

def case(name, comment, sources, sink, query, out, late=False, pk=None, setting=None):
    folder = os.path.join(here, name)
    os.makedirs(folder, exist_ok=True)
    form = "debezium_json" if pk else "json"
    with open(os.path.join(folder, "query.sql"), "w") as f:
        f.write(f"-- {comment}\n")
        f.write("--late\n" if late else "")
        f.write(f"--pk={pk}\n" if pk else "")
        for table in sources:
            f.write(TABLE.format(**{"extra": "", **table}))
        f.write(f"CREATE TABLE output ({sink})\nWITH (connector = 'single_file', path = '$output_path', format = '{form}', type = 'sink');\n\n")
        f.write(f"{setting};\n\n" if setting else "")
        f.write("INSERT INTO output\n" + query + ";\n")
    with open(os.path.join(folder, "expected.json"), "w") as f:
        for r in out:
            row = {"before": None, "after": r, "op": "c"} if pk else r
            f.write(json.dumps(row) + "\n")

def sessions(rows, gap, key):
    groups = defaultdict(list)
    for r in rows:
        groups[key(r)].append(r)
    for k, rows in groups.items():
        rows.sort(key=lambda r: r["t"])
        open_rows = []
        for r in rows:
            if open_rows and r["t"] - open_rows[-1]["t"] >= gap:
                yield k, open_rows
                open_rows = []
            open_rows.append(r)
        yield k, open_rows

def session_rows(rows, gap):
    return [{"start": iso(g[0]["t"]), "end": iso(g[-1]["t"] + gap), "who": k, "rows": len(g), "total": sum(r["n"] for r in g)}
            for k, g in sessions(rows, gap, lambda r: r["who"])]

def tumbled(rows, width, key=lambda r: r["who"]):
    groups = defaultdict(list)
    for r in rows:
        groups[(floor(r["t"], width), key(r))].append(r)
    return groups

def hopped(rows, slide, width, key=lambda r: r["who"]):
    groups = defaultdict(list)
    for r in rows:
        pane = floor(r["t"], slide)
        for i in range(width // slide):
            groups[(pane + slide * (i + 1) - width, key(r))].append(r)
    return groups

BOUNDS = '"start" TIMESTAMP, "end" TIMESTAMP, '
events = load("events.json")
rng = random.Random(11)

# Every fortieth row comes hundreds of rows, and so days or weeks, too late.
late = [r for i, r in enumerate(events) if i % 40 != 7]
for i, r in enumerate(events):
    if i % 40 == 7 and i + 700 < len(events):
        late.insert(min(i + 700, len(late)), r)
save("late.json", late)
source = [{"name": "events", "file": "late.json"}]
case("late_rows", "rows that come weeks late", source, BOUNDS + "who TEXT, rows BIGINT, total BIGINT",
     "SELECT window.start, window.end, who, rows, total FROM (\n"
     "  SELECT hop(INTERVAL '30 minutes', INTERVAL '1 hour') AS window, who, count(*) AS rows, sum(n) AS total\n"
     "  FROM events GROUP BY window, who)",
     [{"start": iso(s), "end": iso(s + hour), "who": w, "rows": len(g), "total": sum(r["n"] for r in g)}
      for (s, w), g in hopped(late, 30 * minute, hour).items()], late=True)
SESSIONS = ("SELECT window.start, window.end, who, rows, total FROM (\n"
            "  SELECT session(INTERVAL '{gap} minutes') AS window, who, count(*) AS rows, sum(n) AS total\n"
            "  FROM events GROUP BY window, who)")
case("session_late", "sessions that late rows begin, extend and join", source, BOUNDS + "who TEXT, rows BIGINT, total BIGINT",
     SESSIONS.format(gap=20), session_rows(late, 20 * minute), late=True)

case("session_merge", "disorder longer than the gap: rows join sessions that were apart", [{"name": "events", "file": "events.json"}],
     BOUNDS + "who TEXT, rows BIGINT, total BIGINT", SESSIONS.format(gap=5), session_rows(events, 5 * minute))

# A month of rows, then the month before it.
backfill = events[400:800] + events[:400]
save("backfill.json", backfill)
case("backfill_after_live", "the older half of the rows after the newer one", [{"name": "events", "file": "backfill.json"}],
     BOUNDS + "who TEXT, rows BIGINT, total BIGINT",
     "SELECT window.start, window.end, who, rows, total FROM (\n"
     "  SELECT tumble(INTERVAL '1 day') AS window, who, count(*) AS rows, sum(n) AS total FROM events GROUP BY window, who)",
     [{"start": iso(s), "end": iso(s + day), "who": w, "rows": len(g), "total": sum(r["n"] for r in g)}
      for (s, w), g in tumbled(backfill, day).items()], late=True)

# One device's clock is five years ahead: time jumps, and all that follows is late.
fast = [dict(r) for r in events[:800]]
fast[300]["t"] = fast[300]["t"] + timedelta(days=5 * 365)
fast[300]["ts"] = fast[300]["t"].isoformat(timespec="milliseconds") + "Z"
save("fast.json", fast)
def ranked(groups, width, best):
    per = defaultdict(dict)
    for (s, w), g in groups.items():
        per[s][w] = sum(r["n"] for r in g)
    out = []
    for s, totals in per.items():
        order = sorted(totals, key=lambda w: (-totals[w], w is None, w or ""))
        out += [{"start": iso(s), "end": iso(s + width), "who": w, "total": totals[w], "place": i + 1} for i, w in enumerate(order[:best])]
    return out
RANKS = ("SELECT window.start, window.end, who, total, place FROM (\n"
         "  SELECT *, row_number() OVER (PARTITION BY window ORDER BY total DESC, who) AS place FROM (\n"
         "    SELECT {window} AS window, who, sum(n) AS total FROM events GROUP BY window, who)) WHERE place <= {best}")
case("fast_clock", "one clock is years ahead, and the rows after it are late", [{"name": "events", "file": "fast.json"}],
     BOUNDS + "who TEXT, total BIGINT, place BIGINT", RANKS.format(window="tumble(INTERVAL '1 day')", best=2),
     ranked(tumbled(fast, day), day, 2), late=True)
case("top_of_hops", "the best of each hop", [{"name": "events", "file": "events.json"}],
     BOUNDS + "who TEXT, total BIGINT, place BIGINT",
     RANKS.format(window="hop(INTERVAL '1 hour', INTERVAL '3 hours')", best=1), ranked(hopped(events, hour, 3 * hour), 3 * hour, 1))

# Offsets of ±14 hours around the turn of the year and of 1970.
offsets = []
at = [datetime(1969, 12, 31, 23, 59, 59, 999000), datetime(1970, 1, 1), datetime(2024, 2, 29, 12), datetime(2025, 12, 31, 23, 30)]
for i in range(600):
    t = at[i * 4 // 600] + timedelta(minutes=13 * (i % 150))
    offsets.append({"ts": t.isoformat(timespec="milliseconds") + "Z", "t": t, "id": i, "who": rng.choice("ab"), "n": i % 7,
                    "tz_offset_min": rng.choice([-840, -720, -210, 0, 345, 840])})
offsets.sort(key=lambda r: r["t"])
save("offsets.json", offsets)
local = tumbled(offsets, day, lambda r: (r["who"], floor(r["t"] + r["tz_offset_min"] * minute, day)))
case("offset_extremes", "local days at the ends of the world, before and after 1970",
     [{"name": "events", "file": "offsets.json", "extra": "\n  tz_offset_min BIGINT NOT NULL,"}],
     '"start" TIMESTAMP, who TEXT, local_day TIMESTAMP, rows BIGINT, total BIGINT',
     "SELECT window.start, who, local_day, rows, total FROM (\n"
     "  SELECT tumble(INTERVAL '1 day') AS window, who, local_day, count(*) AS rows, sum(n) AS total FROM (\n"
     "    SELECT who, n, date_trunc('day', to_timestamp_millis(CAST(extract(epoch FROM ts) * 1000 AS BIGINT) + tz_offset_min * 60000)) AS local_day\n"
     "    FROM events) GROUP BY window, who, local_day)",
     [{"start": iso(s), "who": w, "local_day": iso(d), "rows": len(g), "total": sum(r["n"] for r in g)} for (s, (w, d)), g in local.items()])

# Rows sent twice and three times.
twice = []
for r in events[:400]:
    twice += [r] * rng.choice([1, 1, 2, 3])
save("twice.json", twice)
case("duplicate_ids", "each id counts once however often it comes", [{"name": "events", "file": "twice.json"}],
     '"start" TIMESTAMP, who TEXT, ids BIGINT, rows BIGINT',
     "SELECT window.start, who, ids, rows FROM (\n"
     "  SELECT tumble(INTERVAL '1 day') AS window, who, count(DISTINCT id) AS ids, count(*) AS rows FROM events GROUP BY window, who)",
     [{"start": iso(s), "who": w, "ids": len({r["id"] for r in g}), "rows": len(g)} for (s, w), g in tumbled(twice, day).items()])

# The other side of a join falls silent after fifty rows.
silent = events[:50]
save("silent.json", silent)
both = [{"name": "events", "file": "events.json"}, {"name": "others", "file": "silent.json"}]
mine, theirs = dict(tumbled(events, day)), dict(tumbled(silent, day))
meets = lambda k: k[1] is not None and k in mine and k in theirs
joined = []
for k in dict.fromkeys(list(mine) + list(theirs)):
    count = lambda side: len(side[k]) if k in side else None
    a, b = count(mine), count(theirs)
    sides = [(a, b)] if meets(k) else [s for s in [(a, None), (None, b)] if s != (None, None)]
    joined += [{"start": iso(k[0]), "end": iso(k[0] + day), "who": k[1], "a": a, "b": b} for a, b in sides]
case("join_silent_side", "a full join whose other side falls silent", both, BOUNDS + "who TEXT, a BIGINT, b BIGINT",
     "SELECT coalesce(a.window.start, b.window.start), coalesce(a.window.end, b.window.end), coalesce(a.who, b.who), a.rows, b.rows FROM\n"
     "  (SELECT tumble(INTERVAL '1 day') AS window, who, count(*) AS rows FROM events GROUP BY window, who) AS a\n"
     "  FULL JOIN\n"
     "  (SELECT tumble(INTERVAL '1 day') AS window, who, count(*) AS rows FROM others GROUP BY window, who) AS b\n"
     "  ON a.window = b.window AND a.who = b.who", joined)

best = [r for r in events if r["n"] == 9]
by_id = {r["id"]: r for r in silent}
case("updating_left_join", "a left join over all time", both, "id BIGINT, who TEXT, other BIGINT",
     "SELECT e.id, e.who, o.n FROM (SELECT id, who FROM events WHERE n = 9) AS e LEFT JOIN others AS o ON e.id = o.id",
     [{"id": r["id"], "who": r["who"], "other": by_id[r["id"]]["n"] if r["id"] in by_id else None} for r in best], pk="id")

counts = defaultdict(lambda: [0, 0])
for r in events:
    counts[(r["who"], r["n"])][0] += 1
per = defaultdict(list)
for (w, n), (rows, _) in counts.items():
    per[rows].append(n)
case("updating_of_updating", "an aggregate of an aggregate that changes, with a time to live",
     [{"name": "events", "file": "events.json"}], "rows BIGINT, groups BIGINT, least BIGINT, most BIGINT",
     "SELECT rows, count(*), min(n), max(n) FROM (SELECT who, n, count(*) AS rows FROM events GROUP BY who, n) GROUP BY rows",
     [{"rows": k, "groups": len(v), "least": min(v), "most": max(v)} for k, v in per.items()], pk="rows",
     setting="SET updating_ttl = INTERVAL '7 days'")

hours = defaultdict(list)
for (s, w), g in tumbled(events, hour).items():
    hours[(floor(s + hour - timedelta(microseconds=1), day), w)].append(len(g))
case("rewindow_wider", "hours windowed again into days", [{"name": "events", "file": "events.json"}],
     '"start" TIMESTAMP, who TEXT, hours BIGINT, busiest BIGINT',
     "SELECT window.start, who, hours, busiest FROM (\n"
     "  SELECT tumble(INTERVAL '1 day') AS window, who, count(*) AS hours, max(rows) AS busiest FROM (\n"
     "    SELECT tumble(INTERVAL '1 hour') AS hour, who, count(*) AS rows FROM events GROUP BY hour, who)\n"
     "  GROUP BY window, who)",
     [{"start": iso(s), "who": w, "hours": len(v), "busiest": max(v)} for (s, w), v in hours.items()])

parts = defaultdict(int)
for r in events:
    for m in [r["n"], 9 - r["n"]]:
        parts[(floor(r["t"], day), m)] += 1
case("unnest_then_tumble", "elements of lists, counted by day", [{"name": "events", "file": "events.json"}],
     '"start" TIMESTAMP, m BIGINT, rows BIGINT',
     "SELECT window.start, m, rows FROM (\n"
     "  SELECT tumble(INTERVAL '1 day') AS window, m, count(*) AS rows\n"
     "  FROM (SELECT unnest(make_array(n, 9 - n)) AS m FROM events) GROUP BY window, m)",
     [{"start": iso(s), "m": m, "rows": c} for (s, m), c in parts.items()])

case("union_silent_side", "two sources in one window, one of which falls silent", both, BOUNDS + "who TEXT, rows BIGINT, total BIGINT",
     "SELECT window.start, window.end, who, rows, total FROM (\n"
     "  SELECT hop(INTERVAL '30 minutes', INTERVAL '2 hours') AS window, who, count(*) AS rows, sum(n) AS total FROM (\n"
     "    SELECT who, n FROM events UNION ALL SELECT who, n FROM others) GROUP BY window, who)",
     [{"start": iso(s), "end": iso(s + 2 * hour), "who": w, "rows": len(g), "total": sum(r["n"] for r in g)}
      for (s, w), g in hopped(events + silent, 30 * minute, 2 * hour).items()])
