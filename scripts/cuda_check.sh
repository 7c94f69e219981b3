#!/usr/bin/env bash
# The CUDA build of crave-lora on a machine without GPU or toolkit: our kernels to PTX and to machine code for sm_90, then
# the crate with feature `cuda`, compiled and linked. Not part of `make test`; nothing runs on a GPU.
#
#   scripts/cuda_check.sh             all of it: about 15 minutes of two cores, most of them candle's own kernels
#   scripts/cuda_check.sh --types     candle's kernels are left out (empty objects): types and links, 4 minutes
#   scripts/cuda_check.sh --kernels   our kernels alone, seconds
#
# nvcc comes from PyPI's nvidia-cuda-nvcc and its companions, once, into the cache folder. cudarc links the driver's and
# toolkit's libraries, which PyPI does not have as files to link: empty ones stand in, and the linker is told to leave
# their names open. The target folder is target/cuda.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-all}
cache=${CRAVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/crave-wave}/cuda
mkdir -p "$cache"
if [ ! -x "$cache/venv/bin/python" ] || ! ls "$cache"/venv/lib/python*/site-packages/nvidia/cu13/bin/nvcc >/dev/null 2>&1; then
  python3 -m venv "$cache/venv"
  "$cache/venv/bin/pip" -q install nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
    nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl nvidia-curand
fi
root=$(dirname "$(dirname "$(ls "$cache"/venv/lib/python*/site-packages/nvidia/cu13/bin/nvcc)")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for kernel in serving/lora/kernels/*.cu; do
  name=$(basename "$kernel" .cu)
  "$root/bin/nvcc" -ptx -O3 -arch=sm_90 "$kernel" -o "$work/$name.ptx"
  "$root/bin/ptxas" -arch=sm_90 -v "$work/$name.ptx" -o "$work/$name.cubin" 2>"$work/$name.log"
  if grep -q "[1-9][0-9]* bytes spill" "$work/$name.log"; then
    echo "cuda_check: $kernel spills registers" >&2
    exit 1
  fi
  echo "$kernel: $(grep -c '\.entry' "$work/$name.ptx") kernels for sm_90"
done
[ "$mode" != --kernels ] || exit 0

stubs=$work/stubs
mkdir "$stubs"
for library in cuda cudart cublas cublasLt curand nvrtc nvidia-ml; do
  echo "" | gcc -shared -fPIC -x c - -o "$stubs/lib$library.so"
done
export NVCC=$root/bin/nvcc
if [ "$mode" = --types ]; then
  # Real for our kernels; for candle's, an output that is there and holds nothing.
  cat >"$work/nvcc" <<NVCC
#!/usr/bin/env bash
case "\$PWD" in *candle-kernels*) ;; *) exec "$root/bin/nvcc" "\$@" ;; esac
case " \$* " in *--version*|*--list-gpu-code*|*--list-gpu-arch*|*--help*) exec "$root/bin/nvcc" "\$@" ;; esac
out= dir= ptx= sources=()
while [ \$# -gt 0 ]; do
  case "\$1" in
    -o|--output-file) out=\$2; shift ;;
    --output-directory|-odir) dir=\$2; shift ;;
    --ptx|-ptx) ptx=1 ;;
    *.cu) sources+=("\$1") ;;
  esac
  shift
done
empty() { if [ -n "\$ptx" ]; then : >"\$1"; else echo "" | gcc -c -x c - -o "\$1"; fi; }
if [ -n "\$out" ]; then
  case "\$out" in *.a) echo "" | gcc -c -x c - -o "\$out.o"; rm -f "\$out"; ar rc "\$out" "\$out.o" ;; *) empty "\$out" ;; esac
else
  for source in "\${sources[@]}"; do empty "\$dir/\$(basename "\${source%.cu}").ptx"; done
fi
NVCC
  chmod +x "$work/nvcc"
  export NVCC=$work/nvcc
fi
export CUDA_COMPUTE_CAP=90 CUDA_ROOT=$root CUDA_HOME=$root CUDA_PATH=$root CUDARC_CUDA_VERSION=13000
export RUSTFLAGS="-L native=$stubs -C link-arg=-Wl,--unresolved-symbols=ignore-all"
cargo build --locked -p crave-lora --features cuda --target-dir target/cuda
cargo test --locked -p crave-lora --features cuda --target-dir target/cuda --test lora --no-run
echo "crave-lora compiles and links with feature cuda; it has not run"
