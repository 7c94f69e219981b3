#!/usr/bin/env bash
# Fuzzes every target for SECONDS_EACH (default 20), JOBS at a time (default 2). What a run finds stays in fuzz/corpus; a
# crash fails, and its input is kept in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTC_WORKSPACE_WRAPPER="$PWD/scripts/sancov-rustc.sh"
targets=(event apple_health csv_map health_auto_export document gguf adapter chat_request cold_file)
# With --workspace dependencies are those of the tests: nothing of theirs is built again.
cargo build --workspace "${targets[@]/#/--bin=}"
mkdir -p fuzz/artifacts
fuzz() {
  set -o pipefail
  mkdir -p "fuzz/corpus/$1"
  "${CARGO_TARGET_DIR:-target}/debug/$1" "fuzz/corpus/$1" "fuzz/seeds/$1" \
    -max_total_time="${SECONDS_EACH:-20}" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
    -artifact_prefix="fuzz/artifacts/$1-" 2>&1 | tail -n 12 | sed "s/^/$1: /"
}
export -f fuzz
printf '%s\n' "${targets[@]}" | xargs -P "${JOBS:-2}" -I{} bash -c 'fuzz {}'
