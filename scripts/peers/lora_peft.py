"""transformers and peft: requests of different adapters, switching one after another, and in peft's own mixed batch.

    python lora_peft.py DIR PROMPT_TOKENS NEW_TOKENS ROWS THREADS [f32|bf16]
"""

import json
import resource
import sys
import time

import peft
import torch
import transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM

folder, prompt, new, rows, threads = sys.argv[1], *map(int, sys.argv[2:6])
dtype = torch.bfloat16 if sys.argv[6:] == ["bf16"] else torch.float32
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
vocab = model.config.vocab_size
model = PeftModel.from_pretrained(model, f"{folder}/adapter-0", adapter_name="0")
for at in range(1, rows):
    model.load_adapter(f"{folder}/adapter-{at}", adapter_name=str(at))
model.eval()
prompts = torch.tensor([[(token * 7919 + at * 31) % vocab for token in range(prompt)] for at in range(rows)])


@torch.inference_mode()
def run(ids, **more):
    """Prefill and greedy decode with the cache; seconds of each."""
    started = time.perf_counter()
    out = model(input_ids=ids, use_cache=True, logits_to_keep=1, **more)
    token = out.logits[:, -1].argmax(-1, keepdim=True)
    prefill = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(new):
        out = model(input_ids=token, past_key_values=out.past_key_values, use_cache=True, **more)
        token = out.logits[:, -1].argmax(-1, keepdim=True)
    return prefill, time.perf_counter() - started


run(prompts[:1, :16])
prefill = decode = 0.0
for at in range(rows):
    started = time.perf_counter()
    model.set_adapter(str(at))
    switch = time.perf_counter() - started
    first, rest = run(prompts[at : at + 1])
    prefill, decode = prefill + switch + first, decode + rest
names = [str(at) for at in range(rows)]
mixed_prefill, mixed_decode = run(prompts, adapter_names=names)
print(json.dumps({
    "peer": "transformers + peft", "version": f"{transformers.__version__} + {peft.__version__}", "torch": torch.__version__,
    "dtype": str(dtype), "rows": rows,
    "switching": {"prefill_tokens_s": round(rows * prompt / prefill, 2), "decode_tokens_s": round(rows * new / decode, 2)},
    "mixed_batch": {"prefill_tokens_s": round(rows * prompt / mixed_prefill, 2),
                    "decode_tokens_s": round(rows * new / mixed_decode, 2)},
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
}))
