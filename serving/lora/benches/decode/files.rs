//! Random models in real shapes, and adapters for them, as files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use crave_lora::Module;
use half::f16;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::gguf_file;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    F32,
    /// As llama.cpp's Q4_K_M: Q4_K with Q6_K where it matters most, and Q5_0 and Q8_0 for rows that are not blocks of 256.
    Q4KM,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Q4KM => "q4_k_m",
        }
    }
}

/// The shape of Qwen2.5-0.5B or Llama-3.2-3B, with fewer layers if so asked.
pub(crate) fn config(shape: &str, layers: Option<usize>) -> Value {
    let mut config = match shape {
        "0.5b" => json!({
            "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
            "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
            "rope_theta": 1e6,
        }),
        "3b" => json!({
            "model_type": "llama", "vocab_size": 128256, "hidden_size": 3072, "intermediate_size": 8192,
            "num_hidden_layers": 28, "num_attention_heads": 24, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
            "rope_theta": 5e5, "head_dim": 128,
        }),
        other => panic!("--shape {other} is neither 0.5b nor 3b"),
    };
    config["max_position_embeddings"] = json!(2048);
    config["tie_word_embeddings"] = json!(true);
    config["hidden_act"] = json!("silu");
    config["_name_or_path"] = json!("bench");
    config["architectures"] = json!([if shape == "3b" { "LlamaForCausalLM" } else { "Qwen2ForCausalLM" }]);
    if let Some(layers) = layers {
        config["num_hidden_layers"] = json!(layers);
    }
    config
}

fn number(config: &Value, key: &str) -> usize {
    config[key].as_u64().unwrap() as usize
}

fn shape(config: &Value, module: Module) -> (usize, usize) {
    let (hidden, inner) = (number(config, "hidden_size"), number(config, "intermediate_size"));
    let dim = hidden / number(config, "num_attention_heads");
    let kv = dim * number(config, "num_key_value_heads");
    match module {
        Module::Q | Module::O => (hidden, hidden),
        Module::K | Module::V => (kv, hidden),
        Module::Gate | Module::Up => (inner, hidden),
        Module::Down => (hidden, inner),
    }
}

/// Names and shapes of all tensors.
fn tensors(config: &Value) -> BTreeMap<String, Vec<usize>> {
    let hidden = number(config, "hidden_size");
    let mut tensors = BTreeMap::from([
        ("model.embed_tokens.weight".to_owned(), vec![number(config, "vocab_size"), hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ]);
    for layer in 0..number(config, "num_hidden_layers") {
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            tensors.insert(format!("model.layers.{layer}.{norm}.weight"), vec![hidden]);
        }
        for module in Module::ALL {
            let (outputs, inputs) = shape(config, module);
            let name = format!("model.layers.{layer}.{}", module.path());
            tensors.insert(format!("{name}.weight"), vec![outputs, inputs]);
            if config["model_type"] == "qwen2" && matches!(module, Module::Q | Module::K | Module::V) {
                tensors.insert(format!("{name}.bias"), vec![outputs]);
            }
        }
    }
    tensors
}

/// Products of a weight and a number that a token takes in the layers, and on the way out, which is the embedding.
pub(crate) fn products(config: &Value) -> (usize, usize) {
    let head = number(config, "vocab_size") * number(config, "hidden_size");
    let tensors = tensors(config);
    let matrices = tensors.values().filter(|shape| shape.len() == 2);
    (matrices.map(|shape| shape.iter().product::<usize>()).sum::<usize>() - head, head)
}

/// Norms are ones, biases zeros, matrices random of variance 1/inputs.
fn numbers(name: &str, shape: &[usize], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let count = shape.iter().product();
    match shape {
        [_] if name.contains("norm") => vec![1.0; count],
        [_] => vec![0.0; count],
        _ => {
            let scale = (3.0 / shape[1] as f32).sqrt() / (1_u32 << 31) as f32;
            (0..count).map(|_| (i64::from(rng.next_u32()) - (1 << 31)) as f32 * scale).collect()
        }
    }
}

pub(crate) fn write_model(dir: &Path, config: &Value, kind: Kind) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    match kind {
        Kind::F32 => write_safetensors(&dir.join("model.safetensors"), &tensors(config), &mut rng),
        Kind::Q4KM => {
            let layers = number(config, "num_hidden_layers");
            let all: Vec<_> = tensors(config)
                .into_iter()
                .map(|(name, shape)| (gguf_file::name(&name), quantised(&name, &shape, layers, &mut rng)))
                .collect();
            gguf_file::save(&dir.join("model.gguf"), &gguf_file::metadata(config), &all);
        }
    }
}

/// Tensor by tensor, so that a model larger than the memory left can be written.
fn write_safetensors(path: &Path, tensors: &BTreeMap<String, Vec<usize>>, rng: &mut ChaCha8Rng) {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut end = 0;
    for (name, shape) in tensors {
        let start = end;
        end += shape.iter().product::<usize>() * 4;
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}));
    }
    let header = Value::Object(header).to_string();
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    for (name, shape) in tensors {
        for number in numbers(name, shape, rng) {
            file.write_all(&number.to_le_bytes()).unwrap();
        }
    }
    file.flush().unwrap();
}

/// Which kind llama.cpp's Q4_K_M gives a tensor: six bits for half of the layers' values and ways down, and for the embedding.
fn kind_of(name: &str, shape: &[usize], layers: usize) -> GgmlDType {
    let [_, columns] = shape else { return GgmlDType::F32 };
    let layer: usize = name.split('.').nth(2).and_then(|layer| layer.parse().ok()).unwrap_or_default();
    let more = layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
    let fine =
        name.contains("embed_tokens") || (more && (name.contains("v_proj") || name.contains("down_proj")));
    match (columns.is_multiple_of(256), fine) {
        (true, true) => GgmlDType::Q6K,
        (true, false) => GgmlDType::Q4K,
        (false, true) => GgmlDType::Q8_0,
        (false, false) => GgmlDType::Q5_0,
    }
}

/// Random blocks with scales that give numbers of variance about 1/inputs: quantising 3 billion numbers takes minutes.
fn quantised(name: &str, shape: &[usize], layers: usize, rng: &mut ChaCha8Rng) -> QTensor {
    let kind = kind_of(name, shape, layers);
    if kind == GgmlDType::F32 {
        let tensor = candle_core::Tensor::from_vec(numbers(name, shape, rng), shape, &Device::Cpu).unwrap();
        return QTensor::quantize(&tensor, kind).unwrap();
    }
    let mut data = vec![0_u8; shape.iter().product::<usize>() / kind.block_size() * kind.type_size()];
    rng.fill_bytes(&mut data);
    let deviation = 1.0 / (shape[1] as f32).sqrt();
    // Root mean square of the stored numbers, times that of the stored scales.
    let (at, spread) = match kind {
        GgmlDType::Q4K => (0, 4.6 * 36.0),
        GgmlDType::Q6K => (208, 18.5 * 74.0),
        GgmlDType::Q5_0 => (0, 9.2),
        _ => (0, 74.0),
    };
    let scale = f16::from_f32(deviation / spread).to_le_bytes();
    for block in data.chunks_exact_mut(kind.type_size()) {
        block[at..at + 2].copy_from_slice(&scale);
        if kind == GgmlDType::Q4K {
            // The least is half the range below zero, where the scales are equal.
            block[2..4].copy_from_slice(&f16::from_f32(deviation / spread * 7.5).to_le_bytes());
        }
    }
    QTensor::new(QStorage::from_data(data.into(), &Device::Cpu, kind).unwrap(), shape).unwrap()
}

pub(crate) fn write_adapter(dir: &Path, config: &Value, rank: usize, all: bool, seed: usize) {
    std::fs::create_dir_all(dir).unwrap();
    let modules = if all { &Module::ALL[..] } else { &Module::ALL[..4] };
    let targets: Vec<&str> = modules.iter().map(|module| module.path().rsplit('.').next().unwrap()).collect();
    let adapter = json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "bench", "r": rank,
        "lora_alpha": 2 * rank, "target_modules": targets, "bias": "none", "use_rslora": false, "use_dora": false,
        "rank_pattern": {}, "alpha_pattern": {}, "lora_dropout": 0.0, "fan_in_fan_out": false,
    });
    std::fs::write(dir.join("adapter_config.json"), adapter.to_string()).unwrap();
    let mut tensors = BTreeMap::new();
    for layer in 0..number(config, "num_hidden_layers") {
        for module in modules {
            let (outputs, inputs) = shape(config, *module);
            let name = format!("base_model.model.model.layers.{layer}.{}", module.path());
            tensors.insert(format!("{name}.lora_A.weight"), vec![rank, inputs]);
            tensors.insert(format!("{name}.lora_B.weight"), vec![outputs, rank]);
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(100 + seed as u64);
    write_safetensors(&dir.join("adapter_model.safetensors"), &tensors, &mut rng);
}
