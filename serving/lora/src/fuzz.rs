//! Doors of the fuzz targets to parsers that are nobody else's business. Each panics where its parser breaks a promise.

use crate::{ModelConfig, adapter, model};

/// A GGUF file: its header is refused, or all that it tells of lies within the file.
pub fn gguf(bytes: &[u8]) {
    if let Ok((_, ends)) = model::gguf::check(bytes) {
        assert!(ends.into_iter().all(|end| end <= bytes.len() as u64));
    }
}

/// The bytes of `adapter_config.json`, and a file of weights for a small Llama: refused, or at least one module changes.
pub fn adapter(config: &[u8], weights: &[u8]) {
    const BASE: &str = r#"{"model_type": "llama", "vocab_size": 8, "hidden_size": 8, "intermediate_size": 16,
        "num_hidden_layers": 2, "num_attention_heads": 2, "rms_norm_eps": 1e-5, "max_position_embeddings": 8}"#;
    if let Ok(base) = ModelConfig::parse(BASE.as_bytes()) {
        assert_ne!(adapter::check(config, weights, &base), Ok(0));
    }
}
