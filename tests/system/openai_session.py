"""A session of OpenAI's own Python client with `crave serve-model`: prints one JSON object of what it saw.

Run by `serve_model.rs` with the server's URL, two tenants' keys and the name of an adapter that only the first may use.
"""

import json
import sys

import openai

url, ada_key, bob_key, adapter = sys.argv[1:]
ada = openai.OpenAI(base_url=f"{url}/v1", api_key=ada_key, max_retries=0)
bob = openai.OpenAI(base_url=f"{url}/v1", api_key=bob_key, max_retries=0)
turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "the sea in the evening"}]
seen = {}

# Models.
seen["models"] = sorted(model.id for model in ada.models.list())
seen["parents"] = {model.id: model.parent for model in ada.models.list()}
seen["bobs_models"] = sorted(model.id for model in bob.models.list())
assert ada.models.retrieve(adapter).id == adapter

# Chat, twice the same.
options = {"model": adapter, "messages": turns, "temperature": 0, "max_tokens": 12}
whole = ada.chat.completions.create(**options)
again = ada.chat.completions.create(**options)
text = whole.choices[0].message.content
assert text and again.choices[0].message.content == text
assert whole.id != again.id and whole.id.startswith("chatcmpl-")
assert whole.object == "chat.completion" and whole.model == adapter
assert whole.choices[0].message.role == "assistant"
seen["finish"] = whole.choices[0].finish_reason
assert whole.usage.completion_tokens == 12
assert whole.usage.total_tokens == whole.usage.prompt_tokens + 12
# The second one came from the cache, and nobody is told.
assert again.usage == whole.usage and "cached" not in again.model_dump_json().replace('"cached_tokens":null', "")
seen["base_differs"] = ada.chat.completions.create(**{**options, "model": "tiny"}).choices[0].message.content != text

# A sampled answer repeats by its seed.
drawn = [
    ada.chat.completions.create(**{**options, "temperature": 1.5, "seed": seed}).choices[0].message.content
    for seed in (1, 1, 2)
]
assert drawn[0] == drawn[1] != drawn[2]
# What other servers have and OpenAI has not.
ada.chat.completions.create(**options, extra_body={"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "new": {}})
# A stop text is not part of the answer.
middle = text[len(text) // 2 : len(text) // 2 + 2]
cut = ada.chat.completions.create(**options, stop=[middle])
assert cut.choices[0].message.content == text[: text.index(middle)] and cut.choices[0].finish_reason == "stop"

# Stream, with and without usage.
for include_usage in (False, True):
    extra = {"stream_options": {"include_usage": True}} if include_usage else {}
    chunks = list(ada.chat.completions.create(**options, stream=True, **extra))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == text, pieces
    assert len({chunk.id for chunk in chunks}) == 1 and len(pieces) > 3
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["length"]
    usage = [chunk.usage for chunk in chunks if chunk.usage]
    assert usage == ([whole.usage] if include_usage else [])
    assert bool(chunks[-1].choices) != include_usage
parts = [{"role": "user", "content": [{"type": "text", "text": "the sea"}]}]
ada.chat.completions.create(**{**options, "messages": parts}, user="someone", n=1)


def refused(client, **change):
    try:
        client.chat.completions.create(**{**options, **change})
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code, error.param]
    raise AssertionError(f"taken: {change}")


# Errors.
nobody = openai.OpenAI(base_url=f"{url}/v1", api_key="no such key at all", max_retries=0)
seen["errors"] = {
    "key": refused(nobody),
    "model": refused(ada, model="nobody"),
    "not_owned": refused(bob),
    "n": refused(ada, n=2),
    "temperature": refused(ada, temperature=9),
    "long": refused(ada, messages=[{"role": "user", "content": "sea " * 2000}]),
    "tokens": refused(ada, max_tokens=100_000),
    "image": refused(ada, messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
}


def message(client, model):
    try:
        client.chat.completions.create(**{**options, "model": model})
    except openai.NotFoundError as error:
        return error.body["message"].replace(model, "")


assert message(bob, adapter) == message(bob, "nobody"), "an adapter of others looks like none"

# Cancel: a stream is left in the middle.
with ada.chat.completions.create(**{**options, "max_tokens": 400}, stream=True) as stream:
    for _ in range(3):
        next(stream)
print(json.dumps(seen))
