//! `adapter_config.json` as PEFT writes it: what of it is served, and what each module's rank and scale must be.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;

/// Ranks beyond this are refused.
const RANK_MAX: usize = 1024;
/// Patterns that a file may have.
const PATTERNS_MAX: usize = 4096;
/// Memory of a compiled pattern: a few letters can ask for megabytes.
const PATTERN_BYTES_MAX: usize = 1 << 17;

/// A checked adapter configuration.
#[derive(Debug)]
pub(crate) struct AdapterConfig {
    pub(crate) base: Option<String>,
    rank: usize,
    alpha: f64,
    rank_stabilised: bool,
    /// Endings of the paths that the adapter changes; `None` where the file has a pattern or nothing.
    targets: Option<Vec<String>>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
}

#[derive(Deserialize)]
struct Raw {
    peft_type: String,
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    /// Names, or a regular expression over paths, or `all-linear`.
    target_modules: Option<Value>,
    #[serde(default)]
    rank_pattern: BTreeMap<String, usize>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// Settings that change what an adapter computes, with the values under which they change nothing.
const NOT_SERVED: [(&str, &[&str]); 10] = [
    ("use_dora", &[]),
    ("bias", &["none"]),
    ("lora_bias", &[]),
    ("fan_in_fan_out", &[]),
    ("modules_to_save", &[]),
    ("layer_replication", &[]),
    ("trainable_token_indices", &[]),
    ("target_parameters", &[]),
    ("alora_invocation_tokens", &[]),
    ("use_qalora", &[]),
];

impl AdapterConfig {
    /// Checks the bytes of an `adapter_config.json`; the error says which setting is not served.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if raw.peft_type != "LORA" {
            return Err(format!("peft_type {:?} is not served; LORA is", raw.peft_type));
        }
        for (name, harmless) in NOT_SERVED {
            if let Some(value) = raw.rest.get(name).filter(|value| !is_off(value, harmless)) {
                return Err(format!("{name} is {value}, which is not served; train without it or merge it"));
            }
        }
        if raw.rank_pattern.len() + raw.alpha_pattern.len() > PATTERNS_MAX {
            return Err(format!("more than {PATTERNS_MAX} rank and alpha patterns"));
        }
        for rank in raw.rank_pattern.values().chain([&raw.r]) {
            if !(1..=RANK_MAX).contains(rank) {
                return Err(format!("rank {rank} is not from 1 to {RANK_MAX}"));
            }
        }
        if let Some(alpha) =
            raw.alpha_pattern.values().chain([&raw.lora_alpha]).find(|alpha| !alpha.is_finite())
        {
            return Err(format!("lora_alpha {alpha} is no number"));
        }
        Ok(Self {
            base: raw.base_model_name_or_path.filter(|name| !name.is_empty()),
            rank: raw.r,
            alpha: raw.lora_alpha,
            rank_stabilised: raw.use_rslora,
            targets: match raw.target_modules {
                Some(Value::Array(names)) => {
                    Some(names.into_iter().filter_map(|name| name.as_str().map(ToOwned::to_owned)).collect())
                }
                _ => None,
            },
            ranks: compile(raw.rank_pattern)?,
            alphas: compile(raw.alpha_pattern)?,
        })
    }

    /// Whether the adapter says that it changes the module at `path`. PEFT leaves other tensors out without a word.
    pub(crate) fn targets(&self, path: &str) -> bool {
        let ends = |name: &String| {
            path.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.targets.as_ref().is_none_or(|names| names.iter().any(ends))
    }

    /// Rank of the module at `path` (such as `model.layers.0.self_attn.q_proj`), and s: alpha / r (Hu et al. 2021), or
    /// alpha / √r where rank-stabilised (Kalajdzievski 2023).
    pub(crate) fn rank_and_scale(&self, path: &str) -> (usize, f64) {
        let rank = find(&self.ranks, path).unwrap_or(self.rank);
        let alpha = find(&self.alphas, path).unwrap_or(self.alpha);
        let divisor = if self.rank_stabilised { (rank as f64).sqrt() } else { rank as f64 };
        (rank, alpha / divisor)
    }
}

fn is_off(value: &Value, harmless: &[&str]) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => harmless.contains(&text.as_str()),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// A pattern matches a path, or its end after a dot, as PEFT's `get_pattern_key` has it.
fn compile<T>(patterns: BTreeMap<String, T>) -> Result<Vec<(Regex, T)>, String> {
    patterns
        .into_iter()
        .map(|(pattern, value)| {
            let mut regex = RegexBuilder::new(&format!(r"^(.*\.)?({pattern})$"));
            match regex.size_limit(PATTERN_BYTES_MAX).build() {
                Ok(regex) => Ok((regex, value)),
                Err(error) => Err(format!("pattern {pattern:?}: {error}")),
            }
        })
        .collect()
}

fn find<T: Copy>(patterns: &[(Regex, T)], path: &str) -> Option<T> {
    patterns.iter().find(|(regex, _)| regex.is_match(path)).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(change: &str) -> Result<AdapterConfig, String> {
        let mut json = serde_json::json!({"peft_type": "LORA", "r": 8, "lora_alpha": 16, "bias": "none"});
        let change: serde_json::Map<String, Value> = serde_json::from_str(change).unwrap();
        for (key, value) in change {
            json[key] = value;
        }
        AdapterConfig::parse(json.to_string().as_bytes())
    }

    #[test]
    fn rank_and_scale_follow_patterns_and_stabilisation() {
        let (first, deep) = ("model.layers.0.self_attn.q_proj", "model.layers.11.mlp.up_proj");
        let patterns = r#"{"rank_pattern": {"q_proj": 4, "layers\\.1\\d\\.mlp.up_proj": 64},
                           "alpha_pattern": {"model.layers.0.self_attn.q_proj": 2}}"#;
        let config = with(patterns).unwrap();
        assert_eq!(config.rank_and_scale(first), (4, 0.5));
        assert_eq!(config.rank_and_scale(deep), (64, 0.25));
        assert_eq!(config.rank_and_scale("model.layers.1.mlp.up_proj"), (8, 2.0));
        assert_eq!(config.rank_and_scale("model.layers.1.self_attn.xq_proj"), (8, 2.0));
        let stable = with(r#"{"use_rslora": true, "r": 16, "lora_alpha": 8}"#).unwrap();
        assert_eq!(stable.rank_and_scale(first), (16, 2.0));
    }

    #[test]
    fn targets_are_whole_names_at_the_end() {
        let config = with(r#"{"target_modules": ["q_proj", "mlp.up_proj"]}"#).unwrap();
        let found = ["a.q_proj", "a.xq_proj", "a.mlp.up_proj", "a.up_proj"].map(|path| config.targets(path));
        assert_eq!(found, [true, false, true, false]);
        assert!(with(r#"{"target_modules": "all-linear"}"#).unwrap().targets("a.q_proj"));
    }

    #[test]
    fn what_is_not_served_is_refused_by_name() {
        for (change, word) in [
            (r#"{"peft_type": "IA3"}"#, "IA3"),
            (r#"{"use_dora": true}"#, "use_dora"),
            (r#"{"bias": "all"}"#, "bias"),
            (r#"{"modules_to_save": ["lm_head"]}"#, "modules_to_save"),
            (r#"{"layer_replication": [[0, 2]]}"#, "layer_replication"),
            (r#"{"r": 0}"#, "rank 0"),
            (r#"{"rank_pattern": {"q_proj": 5000}}"#, "rank 5000"),
            (r#"{"rank_pattern": {"q_proj(": 4}}"#, "pattern"),
            (r#"{"alpha_pattern": {"(a{99}){99}": 4}}"#, "size limit"),
        ] {
            let why = with(change).unwrap_err();
            assert!(why.contains(word), "{change}: {why}");
        }
        with(
            r#"{"use_dora": false, "modules_to_save": null, "task_type": "CAUSAL_LM", "new_key": {"a": 1}}"#,
        )
        .unwrap();
    }

    proptest! {
        /// Whatever stands in a field, the answer is a refusal or ranks and scales that can be used.
        #[test]
        fn any_value_is_used_or_refused(
            key in "(r|lora_alpha|use_rslora|target_modules|rank_pattern|alpha_pattern|bias)",
            value in r#"(-?(0|[1-9][0-9]{0,19})|[1-9]e[0-9]{1,2}|true|null|"[a-z_.*+(|)]{0,12}"|\["q_proj"\]|\{"[a-z_.*+(|)]{0,12}": ?[1-9][0-9]{0,4}\})"#,
        ) {
            if let Ok(config) = with(&format!(r#"{{"{key}": {value}}}"#)) {
                let (rank, scale) = config.rank_and_scale("model.layers.0.self_attn.q_proj");
                prop_assert!((1..=RANK_MAX).contains(&rank) && scale.is_finite());
            }
        }
    }
}
