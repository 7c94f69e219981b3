//! `config.json` of a Hugging Face folder: which of the Llama family it is, and its shape.

use std::path::Path;

use serde::Deserialize;

use crate::{Error, Result};

/// Bounds of a shape that is believed; a file beyond them is broken or hostile.
const DIMENSION_MAX: usize = 1 << 20;
const LAYERS_MAX: usize = 1 << 10;
/// Positions that the rotary tables are made for; a longer context is cut to this.
const POSITIONS_MAX: usize = 1 << 18;

/// How rotary frequencies are stretched beyond the length that the model was first trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every frequency divided by the factor (position interpolation, Chen et al. 2023).
    Linear(f64),
    /// Llama 3.1's: long wavelengths divided, short ones kept, a ramp between (`transformers`, `modeling_rope_utils`).
    Llama3 {
        /// What long wavelengths are divided by.
        factor: f64,
        /// Wavelengths above `original_positions / low` are divided.
        low: f64,
        /// Wavelengths below `original_positions / high` are kept.
        high: f64,
        /// The context that the model was first trained on.
        original_positions: f64,
    },
}

/// A model's shape, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Rows of the embedding.
    pub vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the MLP.
    pub intermediate: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; `heads / kv_heads` query heads share one.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Added to the mean square in RMS norm.
    pub rms_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How they are stretched.
    pub rope_scaling: RopeScaling,
    /// The longest context.
    pub positions: usize,
    /// The output matrix is the embedding.
    pub tied: bool,
    /// Query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// The attention's output projection has a bias.
    pub o_bias: bool,
    /// The MLP's projections have a bias.
    pub mlp_bias: bool,
    /// A token sees only this many tokens back, itself included.
    pub window: Option<usize>,
    /// Tokens that end an answer.
    pub eos: Vec<u32>,
    /// The name that the folder gives itself, if any.
    pub name: Option<String>,
}

#[derive(Deserialize)]
struct Raw {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    /// transformers 5 writes theta and scaling here.
    rope_parameters: Option<RawRope>,
    max_position_embeddings: usize,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    sliding_window: Option<usize>,
    #[serde(default)]
    use_sliding_window: bool,
    hidden_act: Option<String>,
    eos_token_id: Option<OneOrMany>,
    #[serde(rename = "_name_or_path")]
    name: Option<String>,
}

#[derive(Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![id],
            Self::Many(ids) => ids,
        }
    }
}

#[derive(Deserialize)]
struct RawGeneration {
    eos_token_id: Option<OneOrMany>,
}

impl ModelConfig {
    /// Reads `config.json` of `dir`, and the end tokens of `generation_config.json` where there is one.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Model`] when it is not of a family that is served.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let bytes = std::fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
        let mut config =
            Self::parse(&bytes).map_err(|why| Error::model(dir, format!("config.json: {why}")))?;
        // A chat model ends its turns with tokens that only the generation file lists.
        if let Ok(bytes) = std::fs::read(dir.join("generation_config.json")) {
            let raw: RawGeneration = serde_json::from_slice(&bytes)
                .map_err(|error| Error::model(dir, format!("generation_config.json: {error}")))?;
            for id in raw.eos_token_id.map(OneOrMany::into_vec).unwrap_or_default() {
                if !config.eos.contains(&id) {
                    config.eos.push(id);
                }
            }
        }
        Ok(config)
    }

    /// Checks the bytes of a `config.json`; the error says which field is wrong.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let (qkv_bias, o_bias, window) = match raw.model_type.as_str() {
            "llama" => (raw.attention_bias, raw.attention_bias, None),
            "mistral" => (false, false, raw.sliding_window),
            "qwen2" if raw.use_sliding_window => {
                return Err("use_sliding_window is not served for qwen2; set it to false".to_owned());
            }
            "qwen2" => (true, false, None),
            other => return Err(format!("model_type {other:?} is not served; llama, mistral and qwen2 are")),
        };
        if let Some(act) = raw.hidden_act.filter(|act| act != "silu") {
            return Err(format!("hidden_act {act:?} is not served; silu is"));
        }
        for (name, value, max) in [
            ("vocab_size", raw.vocab_size, DIMENSION_MAX),
            ("hidden_size", raw.hidden_size, DIMENSION_MAX),
            ("intermediate_size", raw.intermediate_size, DIMENSION_MAX),
            ("num_hidden_layers", raw.num_hidden_layers, LAYERS_MAX),
            ("num_attention_heads", raw.num_attention_heads, DIMENSION_MAX),
            ("max_position_embeddings", raw.max_position_embeddings, usize::MAX),
        ] {
            if value == 0 || value > max {
                return Err(format!("{name} is {value}; it must be from 1 to {max}"));
            }
        }
        let heads = raw.num_attention_heads;
        let kv_heads = raw.num_key_value_heads.unwrap_or(heads);
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(format!("{heads} query heads cannot share {kv_heads} key-value heads evenly"));
        }
        let head_dim = raw.head_dim.unwrap_or(raw.hidden_size / heads);
        if head_dim == 0 || !head_dim.is_multiple_of(2) || head_dim > DIMENSION_MAX {
            return Err(format!("head_dim is {head_dim}; rotary positions need an even one"));
        }
        let window = match window {
            Some(0) => return Err("sliding_window is 0; use null for none".to_owned()),
            other => other,
        };
        if !raw.rms_norm_eps.is_finite() || raw.rms_norm_eps < 0.0 {
            return Err(format!("rms_norm_eps is {}", raw.rms_norm_eps));
        }
        let rope = raw.rope_parameters.or(raw.rope_scaling);
        let theta = rope.as_ref().and_then(|rope| rope.rope_theta).or(raw.rope_theta).unwrap_or(10_000.0);
        if !theta.is_finite() || theta <= 0.0 {
            return Err(format!("rope_theta is {theta}; it must be above 0"));
        }
        Ok(Self {
            vocab: raw.vocab_size,
            hidden: raw.hidden_size,
            intermediate: raw.intermediate_size,
            layers: raw.num_hidden_layers,
            heads,
            kv_heads,
            head_dim,
            rms_eps: raw.rms_norm_eps,
            rope_theta: theta,
            rope_scaling: rope.map_or(Ok(RopeScaling::None), |rope| scaling(&rope))?,
            positions: raw.max_position_embeddings.min(POSITIONS_MAX),
            tied: raw.tie_word_embeddings,
            qkv_bias,
            o_bias,
            mlp_bias: raw.mlp_bias,
            window,
            eos: raw.eos_token_id.map(OneOrMany::into_vec).unwrap_or_default(),
            name: raw.name.filter(|name| !name.is_empty()),
        })
    }
}

fn scaling(rope: &RawRope) -> Result<RopeScaling, String> {
    let number = |name: &str, value: Option<f64>| match value {
        Some(value) if value.is_finite() && value > 0.0 => Ok(value),
        other => Err(format!("rope scaling's {name} is {other:?}; it must be above 0")),
    };
    match rope.rope_type.as_deref() {
        None | Some("default") => Ok(RopeScaling::None),
        Some("linear") => Ok(RopeScaling::Linear(number("factor", rope.factor)?)),
        Some("llama3") => {
            let low = number("low_freq_factor", rope.low_freq_factor)?;
            let high = number("high_freq_factor", rope.high_freq_factor)?;
            if high <= low {
                return Err(format!("rope scaling's high_freq_factor {high} is not above {low}"));
            }
            Ok(RopeScaling::Llama3 {
                factor: number("factor", rope.factor)?,
                low,
                high,
                original_positions: number(
                    "original_max_position_embeddings",
                    rope.original_max_position_embeddings,
                )?,
            })
        }
        Some(other) => Err(format!("rope type {other:?} is not served; default, linear and llama3 are")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: &str) -> Result<ModelConfig, String> {
        let mut json: serde_json::Value = serde_json::json!({
            "model_type": "llama", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
            "max_position_embeddings": 256, "eos_token_id": 2
        });
        let change: serde_json::Map<String, serde_json::Value> = serde_json::from_str(change).unwrap();
        for (key, value) in change {
            json[key] = value;
        }
        ModelConfig::parse(json.to_string().as_bytes())
    }

    #[test]
    fn families_differ_in_bias_and_window() {
        let llama = with("{}").unwrap();
        assert_eq!((llama.qkv_bias, llama.o_bias, llama.window, llama.head_dim), (false, false, None, 16));
        let qwen = with(r#"{"model_type": "qwen2", "sliding_window": 64}"#).unwrap();
        assert_eq!((qwen.qkv_bias, qwen.o_bias, qwen.window), (true, false, None));
        let mistral =
            with(r#"{"model_type": "mistral", "sliding_window": 64, "eos_token_id": [2, 3]}"#).unwrap();
        assert_eq!((mistral.qkv_bias, mistral.window, mistral.eos), (false, Some(64), vec![2, 3]));
    }

    #[test]
    fn rope_is_read_from_old_and_new_places() {
        let scaled = r#"{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 64, "rope_theta": 5e5}"#;
        let old = with(&format!(r#"{{"rope_theta": 5e5, "rope_scaling": {scaled}}}"#)).unwrap();
        let new = with(&format!(r#"{{"rope_parameters": {scaled}}}"#)).unwrap();
        assert_eq!(old, new);
        assert!(matches!(old.rope_scaling, RopeScaling::Llama3 { factor: 8.0, .. }));
    }

    #[test]
    fn what_is_not_served_is_refused_by_name() {
        for (change, word) in [
            (r#"{"model_type": "gemma"}"#, "gemma"),
            (r#"{"num_key_value_heads": 3}"#, "evenly"),
            (r#"{"head_dim": 15}"#, "even one"),
            (r#"{"hidden_act": "gelu"}"#, "gelu"),
            (r#"{"vocab_size": 0}"#, "vocab_size"),
            (r#"{"rope_scaling": {"type": "yarn", "factor": 4.0}}"#, "yarn"),
            (r#"{"rope_scaling": {"type": "linear"}}"#, "factor"),
            (r#"{"model_type": "qwen2", "use_sliding_window": true}"#, "use_sliding_window"),
        ] {
            let why = with(change).unwrap_err();
            assert!(why.contains(word), "{change}: {why}");
        }
    }
}
