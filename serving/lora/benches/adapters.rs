//! Many adapters beside few, what a hit in memory and on disk adds to the first token, and a flood beside a chat.
//!
//! `cargo bench -p crave-lora --bench adapters`. One run on this machine's CPU; random weights of a 28-million-parameter
//! Llama in f32, adapters of rank 8 on q and v (512 KiB each). Prints one JSON object.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a bench fails by panicking")]

#[allow(dead_code, unreachable_pub, reason = "the tests' fixture, of which the tokenizer is used")]
#[path = "../tests/lora/fixture.rs"]
mod fixture;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use crave_lora::{
    Engine, EngineOptions, Event, Limits, Message, Model, Registry, RegistryOptions, Request, Sampling,
};
use crave_schemas::SystemClock;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

const HIDDEN: usize = 512;
const INNER: usize = 1408;
const LAYERS: usize = 8;
const VOCAB: usize = 4096;
const RANK: usize = 8;
const ADAPTERS: usize = 2_000;
const FEW: usize = 32;
/// Adapters that memory holds at once.
const RESIDENT: u64 = 256;
const CLIENTS: usize = 16;
const REQUESTS: usize = 400;
const ANSWER_TOKENS: usize = 32;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    write_model(&dir.path().join("model"));
    write_adapters(&dir.path().join("adapters"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(dir.path()));
}

async fn measure(dir: &Path) {
    let model = Arc::new(Model::load(&dir.join("model"), DType::F32).unwrap());
    // Once for warmth, then in turns, so that a machine that slows down slows both.
    let few = start(dir, &model);
    throughput(&few, FEW, 1).await;
    let many = start(dir, &model);
    let (mut few_tokens_per_s, mut many_tokens_per_s) = (Vec::new(), Vec::new());
    for seed in 2..5 {
        few_tokens_per_s.push(throughput(&few, FEW, seed).await);
        many_tokens_per_s.push(throughput(&many, ADAPTERS, seed).await);
    }
    let (few_median, many_median) = (median(&mut few_tokens_per_s), median(&mut many_tokens_per_s));
    let tiers = tiers(&few).await;
    let flood = flood(&few).await;
    println!(
        "{}",
        json!({
            "zipf": {
                "adapters": ADAPTERS, "in_memory_max": RESIDENT, "clients": CLIENTS, "requests": REQUESTS,
                "tokens_per_s": many_median, "tokens_per_s_of_32": few_median, "ratio": many_median / few_median,
                "runs": many_tokens_per_s, "runs_of_32": few_tokens_per_s,
            },
            "first_token_ms": tiers,
            "flood": flood,
        })
    );
}

fn start(dir: &Path, model: &Arc<Model>) -> Engine {
    let clock = Arc::new(SystemClock);
    let options = RegistryOptions { bytes_max: RESIDENT * adapter_bytes(), ..RegistryOptions::default() };
    let registry = Registry::new(Arc::clone(model), dir.join("adapters"), options, clock.clone());
    let limits = Limits { running_max: CLIENTS, waiting_tenant_max: 64, ..Limits::default() };
    let options = EngineOptions { limits, cache_blocks: 1024, ..EngineOptions::default() };
    Engine::start(Arc::clone(model), registry, options, clock).unwrap()
}

fn request(tenant: String, adapter: Option<usize>, words: String, max_tokens: usize) -> Request {
    Request {
        tenant,
        adapter: adapter.map(name),
        messages: vec![Message { role: "user".to_owned(), content: words }],
        public_system: false,
        max_tokens: Some(max_tokens),
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        stop: vec![],
    }
}

/// Milliseconds to the first token (whose text may come later) and tokens of the answer. One-token answers end with it.
async fn ask(engine: &Engine, request: Request) -> (f64, usize) {
    let begun = Instant::now();
    let mut generation = engine.generate(request).unwrap();
    loop {
        match generation.next().await {
            Some(Event::Text(_)) => {}
            Some(Event::Done { usage, .. }) => {
                return (begun.elapsed().as_secs_f64() * 1e3, usage.completion_tokens);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Tokens of answers a second, of clients that ask one after the other for adapters of Zipf's popularity.
async fn throughput(engine: &Engine, adapters: usize, seed: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let weights: Vec<f64> = (1..=adapters).map(|rank| 1.0 / rank as f64).collect();
    let sum: f64 = weights.iter().sum();
    let mut draw = || {
        let mut left = rng.random_range(0.0..sum);
        let rank = weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        // Popular ones lie anywhere in the folder.
        rank.unwrap_or(0) * 7919 % adapters
    };
    let asked: Vec<usize> = (0..REQUESTS).map(|_| draw()).collect();
    let (next, tokens) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    let (asked, next, tokens) = (&asked, &next, &tokens);
    let clients = (0..CLIENTS).map(|client| async move {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(adapter) = asked.get(at) else { return };
            let words = format!("{seed} {at} the craving for sweet things comes in the evening by the sea");
            let request = request(format!("client {client}"), Some(*adapter), words, ANSWER_TOKENS);
            tokens.fetch_add(ask(engine, request).await.1, Ordering::Relaxed);
        }
    });
    futures::future::join_all(clients).await;
    tokens.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// Median milliseconds of a one-token answer: of the base, with the adapter in memory, and with it on disk.
async fn tiers(engine: &Engine) -> serde_json::Value {
    let mut times: HashMap<&str, Vec<f64>> = HashMap::new();
    for at in 0..60 {
        let words = |kind: &str| format!("{kind} {at} the evening sea");
        let adapter = 1_000 + at;
        // Each kind has a prompt of its own: the prefix cache must not help.
        for (kind, adapter) in [("base", None), ("disk", Some(adapter)), ("memory", Some(adapter))] {
            let (ms, _) = ask(engine, request("solo".to_owned(), adapter, words(kind), 1)).await;
            times.entry(kind).or_default().push(ms);
        }
    }
    let of = |kind: &str| median(&mut times[kind].clone());
    let (base, memory, disk) = (of("base"), of("memory"), of("disk"));
    json!({ "base": base, "memory": memory, "disk": disk, "added_by_memory": memory - base, "added_by_disk": disk - base })
}

/// The 99th percentile of a chat's milliseconds to the first token, alone and beside a tenant that never stops asking.
async fn flood(engine: &Engine) -> serde_json::Value {
    let prompt = "the craving for sweet things comes in the evening by the sea ".repeat(8);
    let chat = async |round: &str| {
        let mut times = Vec::new();
        for at in 0..100 {
            tokio::time::sleep(Duration::from_millis(7)).await;
            let words = format!("{round} {at} {prompt}");
            times.push(ask(engine, request("chat".to_owned(), Some(0), words, 1)).await.0);
        }
        times.sort_by(f64::total_cmp);
        (times[times.len() / 2], times[times.len() * 99 / 100 - 1])
    };
    let alone = chat("alone").await;
    let flooding = (0..8).map(|number| {
        let (engine, prompt) = (engine.clone(), prompt.clone());
        tokio::spawn(async move {
            for at in 0.. {
                let words = format!("{number} {at} {}", prompt.repeat(2));
                ask(&engine, request("flood".to_owned(), Some(1), words, 64)).await;
            }
        })
    });
    let flooding: Vec<_> = flooding.collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let beside = chat("beside").await;
    flooding.iter().for_each(tokio::task::JoinHandle::abort);
    json!({
        "p50_ms_alone": alone.0, "p99_ms_alone": alone.1, "p50_ms": beside.0, "p99_ms": beside.1,
        "p99_ratio": beside.1 / alone.1,
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn name(number: usize) -> String {
    format!("a{number:04}")
}

fn adapter_bytes() -> u64 {
    (LAYERS * 2 * RANK * 2 * HIDDEN * 4) as u64
}

fn random(rng: &mut ChaCha8Rng, shape: (usize, usize)) -> Tensor {
    let scale = (3.0 / shape.1 as f32).sqrt();
    let numbers: Vec<f32> = (0..shape.0 * shape.1).map(|_| rng.random_range(-scale..scale)).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

fn write_model(dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    let config = json!({
        "model_type": "llama", "vocab_size": VOCAB, "hidden_size": HIDDEN, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": 8, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
        // No token ends an answer: all are equally long.
        "max_position_embeddings": 2048, "rope_theta": 10000.0, "hidden_act": "silu", "eos_token_id": VOCAB - 1,
        "tie_word_embeddings": true, "_name_or_path": "crave/bench"
    });
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    fixture::write_tokenizer(dir);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let ones = Tensor::ones(HIDDEN, DType::F32, &Device::Cpu).unwrap();
    let mut tensors = HashMap::new();
    tensors.insert("model.embed_tokens.weight".to_owned(), random(&mut rng, (VOCAB, HIDDEN)));
    tensors.insert("model.norm.weight".to_owned(), ones.clone());
    for layer in 0..LAYERS {
        let path = |name: &str| format!("model.layers.{layer}.{name}.weight");
        tensors.insert(path("input_layernorm"), ones.clone());
        tensors.insert(path("post_attention_layernorm"), ones.clone());
        for module in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            tensors.insert(path(&format!("self_attn.{module}")), random(&mut rng, (HIDDEN, HIDDEN)));
        }
        for (module, shape) in
            [("gate_proj", (INNER, HIDDEN)), ("up_proj", (INNER, HIDDEN)), ("down_proj", (HIDDEN, INNER))]
        {
            tensors.insert(path(&format!("mlp.{module}")), random(&mut rng, shape));
        }
    }
    candle_core::safetensors::save(&tensors, dir.join("model.safetensors")).unwrap();
}

/// Eight different ones, each copied under many names: what is in them does not change what they cost.
fn write_adapters(dir: &Path) {
    let config = json!({
        "peft_type": "LORA", "r": RANK, "lora_alpha": 16.0, "target_modules": ["q_proj", "v_proj"],
        "base_model_name_or_path": "crave/bench",
    });
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for number in 0..ADAPTERS {
        let folder = dir.join(name(number));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
        let weights = folder.join("adapter_model.safetensors");
        if number >= 8 {
            std::fs::copy(dir.join(name(number % 8)).join("adapter_model.safetensors"), weights).unwrap();
            continue;
        }
        let mut tensors = HashMap::new();
        for layer in 0..LAYERS {
            for module in ["q_proj", "v_proj"] {
                let path = format!("base_model.model.model.layers.{layer}.self_attn.{module}");
                tensors.insert(format!("{path}.lora_A.weight"), random(&mut rng, (RANK, HIDDEN)));
                tensors.insert(format!("{path}.lora_B.weight"), random(&mut rng, (HIDDEN, RANK)));
            }
        }
        candle_core::safetensors::save(&tensors, weights).unwrap();
    }
}
