//! Tiny random models and adapters, written as Hugging Face and PEFT folders.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use crave_lora::Module;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// A matrix or vector by name: shape and numbers.
pub(crate) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

const HIDDEN: usize = 64;
pub(crate) const LAYERS: usize = 2;
pub(crate) const VOCAB: usize = 300;

/// A model's config as JSON; `change` overrides fields.
pub(crate) fn config(change: &Value) -> Value {
    let mut config = json!({
        "model_type": "llama", "vocab_size": VOCAB, "hidden_size": HIDDEN, "intermediate_size": 96,
        "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 128, "rope_theta": 10000.0, "hidden_act": "silu", "eos_token_id": 2,
        "tie_word_embeddings": false, "_name_or_path": "crave/tiny"
    });
    for (key, value) in change.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Numbers of variance `scale²`.
fn random(rng: &mut ChaCha8Rng, numbers: usize, scale: f32) -> Vec<f32> {
    let uniform = 3_f32.sqrt() * scale;
    (0..numbers).map(|_| rng.random_range(-uniform..uniform)).collect()
}

fn number(config: &Value, key: &str) -> usize {
    config[key].as_u64().unwrap() as usize
}

/// Outputs and inputs of each module.
pub(crate) fn shape(config: &Value, module: Module) -> (usize, usize) {
    let hidden = number(config, "hidden_size");
    let dim = hidden / number(config, "num_attention_heads");
    let kv = dim * number(config, "num_key_value_heads");
    let inner = number(config, "intermediate_size");
    match module {
        Module::Q | Module::O => (hidden, hidden),
        Module::K | Module::V => (kv, hidden),
        Module::Gate | Module::Up => (inner, hidden),
        Module::Down => (hidden, inner),
    }
}

/// Random weights for `config`, scaled so that activations stay near one.
pub(crate) fn weights(config: &Value, seed: u64) -> Tensors {
    let mut rng = rng(seed);
    let hidden = number(config, "hidden_size");
    let mut tensors = Tensors::new();
    let mut put = |name: String, shape: Vec<usize>, scale: f32, plus: f32| {
        let mut numbers = random(&mut rng, shape.iter().product(), scale);
        numbers.iter_mut().for_each(|number| *number += plus);
        tensors.insert(name, (shape, numbers));
    };
    // Small where it is the output too: otherwise each token's own row wins, whatever the layers say.
    let embedding = if config["tie_word_embeddings"] == json!(true) { 0.2 } else { 1.0 };
    put("model.embed_tokens.weight".to_owned(), vec![VOCAB, hidden], embedding, 0.0);
    put("model.norm.weight".to_owned(), vec![hidden], 0.1, 1.0);
    if config["tie_word_embeddings"] == json!(false) {
        put("lm_head.weight".to_owned(), vec![VOCAB, hidden], 0.125, 0.0);
    }
    for layer in 0..number(config, "num_hidden_layers") {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            put(format!("model.layers.{layer}.{norm}.weight"), vec![hidden], 0.1, 1.0);
        }
        for module in Module::ALL {
            let (outputs, inputs) = shape(config, module);
            let name = format!("model.layers.{layer}.{}", module.path());
            put(format!("{name}.weight"), vec![outputs, inputs], 1.0 / (inputs as f32).sqrt(), 0.0);
            if config["model_type"] == "qwen2" && matches!(module, Module::Q | Module::K | Module::V) {
                put(format!("{name}.bias"), vec![outputs], 0.5, 0.0);
            }
        }
    }
    tensors
}

pub(crate) fn save(tensors: &Tensors, path: &Path) {
    let tensors: HashMap<String, Tensor> = tensors
        .iter()
        .map(|(name, (shape, numbers))| {
            (name.clone(), Tensor::from_vec(numbers.clone(), shape.as_slice(), &Device::Cpu).unwrap())
        })
        .collect();
    candle_core::safetensors::save(&tensors, path).unwrap();
}

/// Writes a model folder, its tensors spread over two files with an index.
pub(crate) fn write_model(dir: &Path, config: &Value, tensors: &Tensors) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let mut map = serde_json::Map::new();
    for (number, file) in
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"].iter().enumerate()
    {
        let part: Tensors = tensors
            .iter()
            .enumerate()
            .filter(|(at, _)| at % 2 == number)
            .map(|(_, (name, tensor))| (name.clone(), tensor.clone()))
            .collect();
        map.extend(part.keys().map(|name| (name.clone(), json!(file))));
        save(&part, &dir.join(file));
    }
    std::fs::write(dir.join("model.safetensors.index.json"), json!({"weight_map": map}).to_string()).unwrap();
}

/// An adapter as data: what its folder says, and its tensors by `layers.N.path`.
#[derive(Clone, Debug)]
pub(crate) struct Lora {
    pub(crate) config: Value,
    /// Module path to rank, A `[rank, in]`, B `[out, rank]`.
    pub(crate) modules: BTreeMap<String, (usize, Vec<f32>, Vec<f32>)>,
}

/// A random adapter of `rank` on `modules` of every layer, of about the size of the base's own weights.
pub(crate) fn lora(config: &Value, rank: usize, alpha: f64, modules: &[Module], seed: u64) -> Lora {
    let mut rng = rng(seed);
    let targets: Vec<&str> = modules.iter().map(|module| module.path().rsplit('.').next().unwrap()).collect();
    let adapter_config = json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "crave/tiny", "r": rank,
        "lora_alpha": alpha, "target_modules": targets, "bias": "none", "use_rslora": false, "use_dora": false,
        "rank_pattern": {}, "alpha_pattern": {}, "lora_dropout": 0.0, "fan_in_fan_out": false,
    });
    let mut tensors = BTreeMap::new();
    for layer in 0..number(config, "num_hidden_layers") {
        for module in modules {
            let (outputs, inputs) = shape(config, *module);
            let a = random(&mut rng, rank * inputs, 1.0 / (inputs as f32).sqrt());
            let b = random(&mut rng, outputs * rank, 0.5 * (rank as f32).sqrt() / alpha as f32);
            tensors.insert(format!("model.layers.{layer}.{}", module.path()), (rank, a, b));
        }
    }
    Lora { config: adapter_config, modules: tensors }
}

/// Writes a PEFT folder.
pub(crate) fn write_lora(dir: &Path, config: &Value, lora: &Lora) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("adapter_config.json"), lora.config.to_string()).unwrap();
    let mut tensors = Tensors::new();
    for (path, (rank, a, b)) in &lora.modules {
        let module = Module::ALL.into_iter().find(|module| path.ends_with(module.path())).unwrap();
        let (outputs, inputs) = shape(config, module);
        tensors.insert(format!("base_model.model.{path}.lora_A.weight"), (vec![*rank, inputs], a.clone()));
        tensors.insert(format!("base_model.model.{path}.lora_B.weight"), (vec![outputs, *rank], b.clone()));
    }
    save(&tensors, &dir.join("adapter_model.safetensors"));
}
