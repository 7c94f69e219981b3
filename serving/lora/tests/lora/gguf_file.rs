//! Writes GGUF files as llama.cpp's converter does; the benchmark includes this file too.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use candle_core::quantized::gguf_file::{Value, write};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use serde_json::Value as Json;

/// The metadata of a model whose `config.json` is `config`.
pub(crate) fn metadata(config: &Json) -> Vec<(String, Value)> {
    let architecture = if config["model_type"] == "qwen2" { "qwen2" } else { "llama" };
    let whole = |key: &str| config[key].as_u64().map(|value| Value::U32(value as u32));
    let real = |key: &str| config[key].as_f64().map(|value| Value::F32(value as f32));
    let own = [
        ("block_count", whole("num_hidden_layers")),
        ("context_length", whole("max_position_embeddings")),
        ("embedding_length", whole("hidden_size")),
        ("feed_forward_length", whole("intermediate_size")),
        ("attention.head_count", whole("num_attention_heads")),
        ("attention.head_count_kv", whole("num_key_value_heads")),
        ("attention.key_length", whole("head_dim")),
        ("attention.layer_norm_rms_epsilon", real("rms_norm_eps")),
        ("attention.sliding_window", whole("sliding_window")),
        ("rope.freq_base", real("rope_theta")),
        ("vocab_size", whole("vocab_size")),
    ];
    let general = [
        ("general.architecture".to_owned(), Some(Value::String(architecture.to_owned()))),
        (
            "general.name".to_owned(),
            config["_name_or_path"].as_str().map(|name| Value::String(name.to_owned())),
        ),
        // llama.cpp then wants no vocabulary.
        ("tokenizer.ggml.model".to_owned(), Some(Value::String("no_vocab".to_owned()))),
        ("tokenizer.ggml.eos_token_id".to_owned(), whole("eos_token_id")),
        ("tokenizer.ggml.tokens".to_owned(), Some(Value::Array(vec![Value::String("<s>".to_owned())]))),
    ];
    let own = own.map(|(key, value)| (format!("{architecture}.{key}"), value));
    general.into_iter().chain(own).filter_map(|(key, value)| Some((key, value?))).collect()
}

/// What a GGUF file calls a tensor.
pub(crate) fn name(name: &str) -> String {
    let mut name = name.replace("model.layers.", "blk.");
    for (from, to) in [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ] {
        name = name.replace(from, to);
    }
    name
}

/// Heads of a tensor whose rows the converter moves: those of queries and keys, but for Qwen's.
pub(crate) fn moved_heads(config: &Json, name: &str) -> Option<usize> {
    let heads = match name {
        _ if config["model_type"] == "qwen2" => return None,
        name if name.contains("q_proj") => "num_attention_heads",
        name if name.contains("k_proj") => "num_key_value_heads",
        _ => return None,
    };
    Some(config[heads].as_u64().unwrap() as usize)
}

/// The converter's `permute`: each head's halves become neighbouring pairs.
pub(crate) fn interleave(tensor: &Tensor, heads: usize) -> Tensor {
    let shape = tensor.dims().to_vec();
    let columns: usize = shape[1..].iter().product();
    let split = tensor.reshape((heads, 2, shape[0] / heads / 2, columns)).unwrap();
    split.transpose(1, 2).unwrap().contiguous().unwrap().reshape(shape).unwrap()
}

/// A tensor as `kind`, moved as the converter does.
pub(crate) fn convert(
    config: &Json,
    name: &str,
    shape: &[usize],
    numbers: &[f32],
    kind: GgmlDType,
) -> QTensor {
    let mut tensor = Tensor::from_slice(numbers, shape, &Device::Cpu).unwrap();
    if let Some(heads) = moved_heads(config, name) {
        tensor = interleave(&tensor, heads);
    }
    QTensor::quantize(&tensor, kind).unwrap()
}

pub(crate) fn save(path: &Path, metadata: &[(String, Value)], tensors: &[(String, QTensor)]) {
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    write(&mut BufWriter::new(File::create(path).unwrap()), &metadata, &tensors).unwrap();
}
