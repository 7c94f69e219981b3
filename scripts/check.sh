#!/usr/bin/env bash
# Format, lints, documentation. A machine without clippy or rustfmt is told so, and the rest goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
if cargo fmt --version >/dev/null 2>&1; then
  cargo fmt --all -- --check
else
  echo "check: rustfmt is missing: format not checked"
fi
if command -v clippy-driver >/dev/null; then
  export LINT_CLIPPY=1
else
  echo "check: clippy is missing: lints not checked"
fi
# Every crate, test and benchmark once through clippy, and rustdoc over what it documents; a warning is an error.
CLIPPY_ARGS="-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__" RUSTC_WORKSPACE_WRAPPER="$PWD/scripts/lint-rustc.sh" \
  cargo build --workspace --all-targets --keep-going --quiet
duplicates=$(cargo tree -d -p crave --depth 0 2>/dev/null | grep -E '^(datafusion|arrow|object_store|parquet) ' || true)
if [ -n "$duplicates" ]; then
  echo "check: more than one version of: $duplicates" >&2
  exit 1
fi
echo "check: ok"
