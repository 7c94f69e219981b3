#!/usr/bin/env bash
# Format, lints, documentation. A machine without clippy or rustfmt is told so, and the rest goes on.
set -euo pipefail
if cargo fmt --version >/dev/null 2>&1; then
  cargo fmt --all -- --check
else
  echo "check: rustfmt is missing: format not checked"
fi
if cargo clippy --version >/dev/null 2>&1; then
  cargo clippy --workspace --all-targets -- -D warnings
else
  echo "check: clippy is missing: lints not checked"
fi
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
duplicates=$(cargo tree -d -p crave --depth 0 2>/dev/null | grep -E '^(datafusion|arrow|object_store|parquet) ' || true)
if [ -n "$duplicates" ]; then
  echo "check: more than one version of: $duplicates" >&2
  exit 1
fi
echo "check: ok"
