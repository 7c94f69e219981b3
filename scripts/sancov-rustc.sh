#!/usr/bin/env bash
# RUSTC_WORKSPACE_WRAPPER of scripts/fuzz.sh: counts the branches of our own crates for libFuzzer, on stable Rust.
# Dependencies are not wrapped, so they are not built again. Build scripts are left as they are: nothing of libFuzzer's is
# linked into them.
case " $* " in *" --crate-name build_script_"*) exec "$@" ;; esac
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
