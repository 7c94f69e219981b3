#!/usr/bin/env bash
# `crave flow` beside DuckDB (batch) and Apache Flink (streaming, embedded), the same files on the same cores in one run.
#
#   scripts/bench_peers.sh [ROWS [USERS [DAYS]]]      default 500000 2000 60
#
# Everything writes its rows as NDJSON. DuckDB comes from PyPI, Flink from PyPI's apache-flink-libraries (330 MB), once,
# into the cache folder; Flink needs Java 17 (javac too) and ../shared/peers/FlinkSql.java. What is missing is left out
# and said.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-500000} users=${2:-2000} days=${3:-60} cores=${CORES:-2} runs=${RUNS:-3}
crave=${CARGO_TARGET_DIR:-target}/release/crave
cache=${CRAVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crave-wave}/peers
peers=../shared/peers
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache"
[ -x "$crave" ] || { echo "bench_peers: $crave is missing; cargo build --release" >&2; exit 1; }

if [ ! -x "$cache/python/bin/python" ] || ! "$cache/python/bin/python" -c 'import duckdb' 2>/dev/null; then
  python3 -m venv "$cache/python" && "$cache/python/bin/pip" -q install duckdb ||
    echo "bench_peers: no DuckDB (python3-venv and PyPI are needed)" >&2
fi
flink=$cache/flink
if [ ! -d "$flink/pyflink/lib" ] && [ -f "$peers/FlinkSql.java" ]; then
  "$cache/python/bin/pip" -q download --no-deps -d "$cache" apache-flink-libraries==2.3.0 &&
    mkdir -p "$flink" && for wheel in "$cache"/apache*flink*libraries*; do
      case $wheel in
        *.whl) python3 -m zipfile -e "$wheel" "$flink" ;;
        *.tar.gz) tar -xzf "$wheel" -C "$flink" --strip-components=1 ;;
      esac
      rm "$wheel"
    done || echo "bench_peers: no Flink (PyPI did not give apache-flink-libraries)" >&2
fi

echo "== crave flow: $rows rows, $users users, $days days, $cores cores, median of $runs"
"$crave" --json bench flow --rows "$rows" --users "$users" --days "$days" --sizes 1 --formats json --parallelism "$cores" \
  --queries filter,tumble,hop --sink single_file --runs "$runs" --dir "$work" >"$work/crave.json"
input=$work/events-1x.json

if [ -x "$cache/python/bin/python" ] && "$cache/python/bin/python" -c 'import duckdb' 2>/dev/null; then
  echo "== DuckDB"
  taskset -c "0-$((cores - 1))" "$cache/python/bin/python" scripts/peers/duck.py "$input" "$work" "$cores" "$runs" >"$work/duckdb.json"
fi

jars=$(ls -d "$flink"/pyflink/lib 2>/dev/null || true)
if [ -n "$jars" ] && command -v javac >/dev/null; then
  echo "== Apache Flink (embedded mini cluster)"
  javac -cp "$jars/*" -d "$work" "$peers/FlinkSql.java"
  for query in filter tumble hop; do
    sql=scripts/peers/flink_$query.sql
    # hop is the workplace's own file.
    [ "$query" != hop ] || sql=$peers/flink_hop.sql
    taskset -c "0-$((cores - 1))" java -Xmx6g --add-opens=java.base/java.util=ALL-UNNAMED \
      --add-opens=java.base/java.lang=ALL-UNNAMED -cp "$jars/*:$work" FlinkSql "$sql" "$cores" "$input" "$work/flink-$query" \
      >"$work/flink-$query.log" 2>&1 || { tail -5 "$work/flink-$query.log" >&2; continue; }
    seconds=$(sed -n 's/^job_seconds //p' "$work/flink-$query.log")
    lines=$(find "$work/flink-$query" -type f -print0 | xargs -0 cat | wc -l)
    echo "{\"query\":\"$query\",\"seconds\":$seconds,\"rows_out\":$lines}" >>"$work/flink.json"
  done
fi

python3 scripts/peers/table.py "$work"
