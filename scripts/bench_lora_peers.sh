#!/usr/bin/env bash
# Many adapters on one base (benches/decode.rs) beside transformers + peft (f32) and llama.cpp (Q4_K_M), the same random
# weights on the same cores in one run.
#
#   scripts/bench_lora_peers.sh [SHAPE [PROMPT [NEW [ROWS [LAYERS]]]]]      default 0.5b 256 128 8, all layers
#
# The peers come from PyPI, once, into the cache folder (torch 4 GB; llama-cpp-python is built from source: cmake, a C++
# compiler and about 8 minutes). What is missing is left out and said.
set -euo pipefail
cd "$(dirname "$0")/.."
shape=${1:-0.5b} prompt=${2:-256} new=${3:-128} rows=${4:-8} layers=${5:-}
cores=${CORES:-2}
peers=${CRAVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crave-wave}/peers
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$peers"
python=$peers/lora/bin/python
if [ ! -x "$python" ]; then
  python3 -m venv "$peers/lora" && "$peers/lora/bin/pip" -q install torch transformers peft ||
    echo "bench_lora_peers: no transformers (python3-venv and PyPI are needed)" >&2
  CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF" "$peers/lora/bin/pip" -q install llama-cpp-python ||
    echo "bench_lora_peers: no llama.cpp (cmake, a C++ compiler and PyPI are needed)" >&2
fi
export RAYON_NUM_THREADS=$cores
bench() {
  cargo bench -q -p crave-lora --bench decode -- --shape "$shape" ${layers:+--layers "$layers"} --prompt "$prompt" \
    --new "$new" --rows "$rows" --json "$@"
}
for kind in f32 q4_k_m; do
  echo "== crave, $kind" >&2
  bench --kind $kind --keep "$work/$kind"
done
echo "== transformers + peft" >&2
"$python" scripts/peers/lora_peft.py "$work/f32" "$prompt" "$new" "$rows" "$cores" || echo "bench_lora_peers: peft failed" >&2
echo "== llama.cpp" >&2
"$python" scripts/peers/lora_llama.py "$work/q4_k_m/model.gguf" "$prompt" "$new" "$cores" \
  "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["vocab_size"])' "$work/q4_k_m/config.json")" ||
  echo "bench_lora_peers: llama.cpp failed" >&2
