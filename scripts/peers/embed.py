"""embed.py MODEL.onnx TOKENIZER.json FOLDER THREADS RUNS: embeds FOLDER's texts with ONNX Runtime; one JSON object.

The texts come from `cargo bench -p crave-recall --bench embed -- --texts FOLDER`. Batches of texts of like length, mean
over the mask, length 1: as sentence-transformers does. The best of the batch sizes counts.
"""
import json, sys, time
import numpy, onnxruntime
from tokenizers import Tokenizer

model, tokenizer, folder, threads, runs = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
inputs = {node.name for node in session.get_inputs()}
encoder = Tokenizer.from_file(tokenizer)
encoder.no_padding()
encoder.enable_truncation(256)


def embed(texts, size):
    encodings = encoder.encode_batch(texts)
    order = sorted(range(len(texts)), key=lambda at: len(encodings[at].ids))
    vectors = [None] * len(texts)
    for start in range(0, len(order), size):
        batch = order[start:start + size]
        longest = max(len(encodings[at].ids) for at in batch)
        ids, mask = (numpy.zeros((len(batch), longest), numpy.int64) for _ in range(2))
        for row, at in enumerate(batch):
            length = len(encodings[at].ids)
            ids[row, :length], mask[row, :length] = encodings[at].ids, 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
        out = session.run(None, {name: feed[name] for name in inputs})[0]
        if out.ndim == 3:
            out = (out * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        out = out / numpy.linalg.norm(out, axis=1, keepdims=True)
        for row, at in enumerate(batch):
            vectors[at] = out[row]
    return vectors, sum(len(encoding.ids) for encoding in encodings)


report = []
for name in ("notes", "passages"):
    texts = open(f"{folder}/{name}.txt", encoding="utf-8").read().split("\n")
    best, used = float("inf"), 0
    for size in (8, 32, 64):
        for run in range(runs + 1):
            start = time.perf_counter()
            vectors, tokens = embed(texts, size)
            took = time.perf_counter() - start
            if run and took < best:
                best, used = took, size
    ours = numpy.array(json.load(open(f"{folder}/{name}.json")))
    alike = (ours * numpy.array(vectors[:len(ours)])).sum(1).min()
    report.append({"texts": name, "n": len(texts), "tokens": tokens, "seconds": best, "batch": used,
                   "texts_per_s": len(texts) / best, "tokens_per_s": tokens / best, "cosine_to_ours_min": float(alike)})
waits = []
for text in open(f"{folder}/notes.txt", encoding="utf-8").read().split("\n")[:300]:
    start = time.perf_counter()
    embed([text], 1)
    waits.append((time.perf_counter() - start) * 1e3)
waits.sort()
print(json.dumps({"engine": f"onnxruntime {onnxruntime.__version__}", "embed": report,
                  "question": {"p50_ms": waits[len(waits) // 2], "p99_ms": waits[len(waits) * 99 // 100]}}))
