//! What a GGUF file says of its model.

use serde_json::{Value as Json, json};

use super::header::{Header, Value};

/// As a `config.json`: the same checks hold for both formats.
pub(super) fn of(header: &Header) -> Result<Json, String> {
    let architecture = match header.metadata.get("general.architecture") {
        Some(Value::Text(name)) if matches!(name.as_str(), "llama" | "qwen2") => name,
        other => {
            return Err(format!("architecture {other:?} is not served; llama (with mistral) and qwen2 are"));
        }
    };
    let find = |key: &str| header.metadata.get(&format!("{architecture}.{key}"));
    let whole = |key: &str| match find(key) {
        Some(Value::Whole(value)) => Ok(Some(*value)),
        None => Ok(None),
        Some(other) => Err(format!("{architecture}.{key} is {other:?}; it must be a whole number")),
    };
    let needed = |key: &str| whole(key)?.ok_or_else(|| format!("{architecture}.{key} is missing"));
    let real = |key: &str| match find(key) {
        Some(Value::Real(value)) => Ok(Some(*value)),
        None => Ok(None),
        Some(other) => Err(format!("{architecture}.{key} is {other:?}; it must be a real number")),
    };
    if whole("expert_count")?.is_some_and(|experts| experts > 0) {
        return Err("mixtures of experts are not served".to_owned());
    }
    let has = |name: &str| header.tensors.contains_key(name);
    let rows = header.tensors.get("token_embd.weight").and_then(|place| place.shape.first().copied());
    let heads = needed("attention.head_count")?;
    let window = whole("attention.sliding_window")?.filter(|_| architecture == "llama");
    let biased = has("blk.0.attn_q.bias");
    let model_type = match (architecture.as_str(), window) {
        ("llama", Some(_)) => "mistral",
        (other, _) => other,
    };
    let scaling = match find("rope.scaling.type") {
        None => Json::Null,
        Some(Value::Text(kind)) if kind == "none" => Json::Null,
        Some(Value::Text(kind)) => json!({"rope_type": kind, "factor": real("rope.scaling.factor")?}),
        Some(other) => return Err(format!("{architecture}.rope.scaling.type is {other:?}")),
    };
    let eos = match header.metadata.get("tokenizer.ggml.eos_token_id") {
        Some(Value::Whole(id)) => json!(u32::try_from(*id).map_err(|_| format!("the end token is {id}"))?),
        _ => Json::Null,
    };
    let name = match header.metadata.get("general.name") {
        Some(Value::Text(name)) => json!(name),
        _ => Json::Null,
    };
    let mut config = json!({
        "model_type": model_type,
        "vocab_size": rows.ok_or("tensor token_embd.weight is missing")?,
        "hidden_size": needed("embedding_length")?,
        "intermediate_size": needed("feed_forward_length")?,
        "num_hidden_layers": needed("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": whole("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": whole("attention.key_length")?,
        "rms_norm_eps": real("attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| format!("{architecture}.attention.layer_norm_rms_epsilon is missing"))?,
        "rope_theta": real("rope.freq_base")?,
        "rope_scaling": scaling,
        "max_position_embeddings": needed("context_length")?,
        "tie_word_embeddings": !has("output.weight"),
        "mlp_bias": has("blk.0.ffn_up.bias"),
        "eos_token_id": eos,
        "_name_or_path": name,
    });
    if let Some(window) = window {
        config["sliding_window"] = json!(window);
    }
    if model_type == "llama" {
        config["attention_bias"] = json!(biased);
    }
    let dim = config["head_dim"].as_u64().or_else(|| config["hidden_size"].as_u64()?.checked_div(heads));
    if whole("rope.dimension_count")?.is_some_and(|turned| Some(turned) != dim) {
        return Err(format!("{architecture}.rope.dimension_count is not the width of a head, {dim:?}"));
    }
    Ok(config)
}
