#!/usr/bin/env python3
"""Makes serving/lora/tests/lora/golden.json with transformers and peft, on the tests' own random weights.

    LORA_GOLDEN_DIR=/tmp/golden target/debug/deps/lora-… golden    # writes the folders
    scripts/lora_golden.py /tmp/golden > serving/lora/tests/lora/golden.json

The file in the tree was made with torch 1.13.1 (Debian's python3-torch, CPU), transformers 4.44.2 and peft 0.12.0.
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

PROMPT = [1, 17, 290, 5, 123, 88, 64, 201, 33, 9, 150]
NEW_TOKENS = 32


def load(folder):
    """`from_pretrained` wants a format note in each file, which the tests do not write."""
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(config, torch_dtype=torch.float32, attn_implementation="eager")
    tensors = {}
    for path in folder.glob("model-*.safetensors"):
        tensors |= load_file(path)
    left = model.load_state_dict(tensors, strict=False)
    assert not left.unexpected_keys, left
    assert left.missing_keys == (["lm_head.weight"] if config.tie_word_embeddings else []), left
    model.tie_weights()
    return model


@torch.no_grad()
def greedy(model):
    tokens, first = list(PROMPT), None
    for _ in range(NEW_TOKENS):
        logits = model(torch.tensor([tokens]), use_cache=False).logits[0, -1]
        first = logits if first is None else first
        tokens.append(int(logits.argmax()))
    return [round(float(x), 5) for x in first[:12]], tokens[len(PROMPT):]


cases = []
for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
    adapters = sorted(folder.glob("adapter-*"))
    for number in [None, *range(len(adapters))]:
        model = load(folder)
        if number is not None:
            model = PeftModel.from_pretrained(model, str(adapters[number]))
        logits, tokens = greedy(model.eval())
        cases.append({"model": folder.name, "adapter": number, "prompt": PROMPT, "logits": logits, "tokens": tokens})
print("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]")
