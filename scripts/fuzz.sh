#!/usr/bin/env bash
# Fuzzes every target for SECONDS_EACH (default 60). What a run finds stays in fuzz/corpus; a crash fails, and its
# input is kept in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTC_WORKSPACE_WRAPPER="$PWD/scripts/sancov-rustc.sh"
targets=(event apple_health csv_map health_auto_export document)
# With --workspace dependencies are those of the tests: nothing of theirs is built again.
cargo build --workspace "${targets[@]/#/--bin=}"
mkdir -p fuzz/artifacts
for target in "${targets[@]}"; do
  mkdir -p "fuzz/corpus/$target"
  echo "== fuzzing $target"
  "${CARGO_TARGET_DIR:-target}/debug/$target" "fuzz/corpus/$target" "fuzz/seeds/$target" \
    -max_total_time="${SECONDS_EACH:-60}" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
    -artifact_prefix="fuzz/artifacts/$target-" 2>&1 | tail -n 12
done
