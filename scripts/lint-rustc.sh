#!/usr/bin/env bash
# Lints and documents one crate of the workspace: cargo runs it in rustc's place (RUSTC_WORKSPACE_WRAPPER), see check.sh.
#
# `cargo clippy` and `cargo doc` would type-check every dependency anew, beside what `cargo test` has built of it: ten
# minutes of two cores. Under this wrapper the crates see what is built.
set -euo pipefail
rustc=$1
shift
if [ -n "${LINT_CLIPPY:-}" ]; then
  clippy-driver "$rustc" "$@"
else
  "$rustc" "$@"
fi
kept=() crate= kind=
while [ $# -gt 0 ]; do
  case $1 in
    # A test, or a question about the compiler.
    --test | --print | --print=* | -vV | -) exit 0 ;;
    --emit=*) ;;
    --out-dir) shift ;;
    --crate-type) kind=$2; kept+=("$1" "$2"); shift ;;
    --crate-name) crate=$2; kept+=("$1" "$2"); shift ;;
    # What only code generation reads.
    -C) case $2 in metadata=* | extra-filename=*) kept+=("$1" "$2") ;; esac; shift ;;
    *) kept+=("$1") ;;
  esac
  shift
done
case $crate:$kind in
  build_script_*) exit 0 ;;
  # Nobody depends on a program: all of it is for its readers.
  *:bin) kept+=(--document-private-items) ;;
esac
exec rustdoc "${kept[@]}" -D warnings --out-dir "${CARGO_TARGET_DIR:-target}/doc"
