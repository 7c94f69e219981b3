"""llama.cpp on a GGUF file: one row, greedy, prefill and decode apart, as JSON.

    python lora_llama.py MODEL.gguf PROMPT_TOKENS NEW_TOKENS THREADS VOCABULARY
"""

import ctypes
import json
import resource
import sys
import time

import llama_cpp as lib

path, prompt, new, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
# Kept, or the library would call what Python has freed.
quiet = lib.llama_log_callback(lambda *_: None)
lib.llama_log_set(quiet, None)
lib.llama_backend_init()
model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
assert model, "the file was not loaded"
params = lib.llama_context_default_params()
params.n_ctx, params.n_batch, params.n_ubatch = prompt + new, prompt, prompt
params.n_threads = params.n_threads_batch = threads
context = lib.llama_init_from_model(model, params)
vocab = int(sys.argv[5])


def best():
    logits = lib.llama_get_logits(context)
    numbers = (ctypes.c_float * vocab).from_address(ctypes.addressof(logits.contents))
    return max(range(0, vocab, 997), key=numbers.__getitem__)


def step(tokens):
    array = (lib.llama_token * len(tokens))(*tokens)
    assert lib.llama_decode(context, lib.llama_batch_get_one(array, len(tokens))) == 0


# Once without the clock: threads start, weights are repacked and read from disk.
step([at * 7919 % vocab for at in range(prompt)])
lib.llama_memory_clear(lib.llama_get_memory(context), True)
started = time.perf_counter()
step([at * 7919 % vocab for at in range(prompt)])
token = best()
prefill = time.perf_counter() - started
started = time.perf_counter()
for _ in range(new):
    step([token])
    token = best()
decode = time.perf_counter() - started
print(json.dumps({
    "peer": "llama.cpp", "version": lib.__version__, "prefill_tokens_s": round(prompt / prefill, 2),
    "decode_tokens_s": round(new / decode, 2), "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
}))
