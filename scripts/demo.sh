#!/usr/bin/env bash
# The main job on real and simulated input; leaves a server running in the foreground and says where to look.
set -euo pipefail
cargo build --workspace --bin crave
crave="${CARGO_TARGET_DIR:-target}/debug/crave"
home="${CRAVE_HOME:-crave-home-demo}"
rm -rf "$home"
data=../shared/data
if [ -d "$data" ]; then
  echo "== importing real data: Welltory HRV, Apple Health sample"
  "$crave" --home "$home" import csv "$data/welltory/hrv_measurements.csv" --map pipelines/connect/maps/welltory-hrv.toml
  "$crave" --home "$home" import apple-health "$data/apple-health/export6s3sample.xml" --user apple-sample
fi
echo "== simulating people with planted habits (for demo only: it proves nothing about people)"
"$crave" --home "$home" simulate --users 3 --days 90 --seed 1
echo "== every table equals its SQL in batch?"
"$crave" --home "$home" verify
"$crave" --home "$home" models pull || echo "no embedding model: search goes by words alone"
user=sim-0001-night-sugar
token=$("$crave" --home "$home" token add --user "$user" --device demo)
"$crave" --home "$home" sql "SELECT craving, count(*) AS n, round(avg(intensity), 1) AS mean FROM cravings GROUP BY craving ORDER BY n DESC"
"$crave" --home "$home" up > "$home/up.out" 2> "$home/up.log" &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true' EXIT
for _ in $(seq 1 100); do grep -q listening "$home/up.out" && break; kill -0 $server; sleep 0.2; done
url=$(sed -n 's/listening on //p' "$home/up.out")
echo "== why do I crave sugar at night?"
curl -fsS -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$url/v1/insights" \
  -d '{"question":"Why do I crave sugar at night?"}' | python3 -c 'import json,sys
answer = json.load(sys.stdin)
for s in answer["sentences"]: print("  ", s["text"])
print("  ", answer["disclaimer"])'
echo
echo "The page:  $url/#token=$token"
echo "SQL:       $crave --home $home sql \"SHOW TABLES\""
if [ "${CRAVE_DEMO_ONCE:-}" = 1 ]; then exit 0; fi
echo "Ctrl-C ends it."
wait $server
