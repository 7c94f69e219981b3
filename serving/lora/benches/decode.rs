//! Prefill and decode on this machine's CPU: rows of many adapters in one batch against one row.
//!
//! ```text
//! cargo bench -p crave-lora --bench decode -- --shape 0.5b --kind q4_k_m [--layers N] [--prompt 256] [--new 128]
//!     [--rows 8] [--rank 16] [--modules attention|all] [--keep DIR] [--json]
//! ```
//!
//! Weights are random, in the shapes of Qwen2.5-0.5B and Llama-3.2-3B, and so are the adapters. `--keep` leaves the model and
//! adapters in a folder, which `scripts/bench_lora_peers.sh` gives to llama.cpp and peft. What bounds one row is reading
//! the weights, and many rows the products; so both rates are measured in the same run: the memory's by summing a buffer
//! larger than the caches, the products' by AVX2's instruction for them and a sum, without any memory, on all cores.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark fails by panicking"
)]

#[path = "decode/files.rs"]
mod files;
#[allow(dead_code, reason = "the tests use all of it")]
#[path = "../tests/lora/gguf_file.rs"]
mod gguf_file;
#[path = "decode/limit.rs"]
mod limit;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::DType;
use crave_lora::{Adapter, KvCache, Model, Row};
use serde_json::{Value, json};

use files::{Kind, config, products, write_adapter, write_model};
use limit::{memory_rate, product_rate};

const BLOCK_TOKENS: usize = 16;

struct Options {
    shape: String,
    kind: Kind,
    layers: Option<usize>,
    prompt: usize,
    new: usize,
    rows: usize,
    rank: usize,
    all_modules: bool,
    keep: Option<PathBuf>,
    json: bool,
}

impl Options {
    fn read() -> Self {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let find = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
        let number = |name: &str, or: usize| find(name).map_or(or, |value| value.parse().unwrap());
        Self {
            shape: find("--shape").map_or("0.5b".to_owned(), Clone::clone),
            kind: match find("--kind").map(String::as_str) {
                None | Some("f32") => Kind::F32,
                Some("q4_k_m") => Kind::Q4KM,
                Some(other) => panic!("--kind {other} is neither f32 nor q4_k_m"),
            },
            layers: find("--layers").map(|value| value.parse().unwrap()),
            prompt: number("--prompt", 256),
            new: number("--new", 128),
            rows: number("--rows", 8),
            rank: number("--rank", 16),
            all_modules: find("--modules").is_some_and(|value| value == "all"),
            keep: find("--keep").map(PathBuf::from),
            json: args.iter().any(|arg| arg == "--json"),
        }
    }
}

/// Tokens a second.
struct Rates {
    prefill: f64,
    decode: f64,
}

/// What a batch's rows take.
#[derive(Clone, Copy)]
enum Slots {
    Base,
    Each,
}

fn run(model: &Model, adapters: &[Arc<Adapter>], options: &Options, rows: usize, slots: Slots) -> Rates {
    let blocks = (options.prompt + options.new).div_ceil(BLOCK_TOKENS);
    let mut cache = KvCache::new(model.config(), model.dtype(), rows * blocks, BLOCK_TOKENS).unwrap();
    let vocab = model.config().vocab;
    let mut batch: Vec<Row> = (0..rows)
        .map(|at| Row {
            slot: match slots {
                Slots::Base => None,
                Slots::Each => Some(at),
            },
            position: 0,
            tokens: (0..options.prompt).map(|token| ((token * 7919 + at * 31) % vocab) as u32).collect(),
            blocks: (at * blocks..(at + 1) * blocks).map(|block| block as u32).collect(),
            logits: true,
        })
        .collect();
    let started = Instant::now();
    // A prompt a pass, as chunked prefill does it.
    let mut next: Vec<u32> = batch
        .iter()
        .map(|row| best(&model.forward(std::slice::from_ref(row), adapters, &mut cache).unwrap())[0])
        .collect();
    let prefill = started.elapsed();
    let started = Instant::now();
    for _ in 0..options.new {
        for (row, token) in batch.iter_mut().zip(next) {
            row.position += row.tokens.len();
            row.tokens = vec![token];
        }
        next = best(&model.forward(&batch, adapters, &mut cache).unwrap());
    }
    let rate = |tokens: usize, took: Duration| tokens as f64 / took.as_secs_f64();
    Rates {
        prefill: rate(rows * options.prompt, prefill),
        decode: rate(rows * options.new, started.elapsed()),
    }
}

fn best(logits: &[Option<Vec<f32>>]) -> Vec<u32> {
    let one = |logits: &Option<Vec<f32>>| {
        let logits = logits.as_ref().unwrap();
        logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32
    };
    logits.iter().map(one).collect()
}

/// The most memory that the process had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or_default() / 1024
}

fn main() {
    let options = Options::read();
    let scratch = tempfile::tempdir().unwrap();
    let dir = options.keep.clone().unwrap_or_else(|| scratch.path().to_owned());
    let config = config(&options.shape, options.layers);
    if !dir.join("config.json").exists() {
        write_model(&dir, &config, options.kind);
        for number in 0..options.rows {
            write_adapter(
                &dir.join(format!("adapter-{number}")),
                &config,
                options.rank,
                options.all_modules,
                number,
            );
        }
    }
    let (layers, head) = products(&config);
    let limits = Limits {
        bytes_s: memory_rate(),
        products_s: product_rate(options.kind == Kind::Q4KM),
        decode_products: (layers + head) as f64,
        // Only a prompt's last token goes all the way.
        prefill_products: (layers + head / options.prompt) as f64,
    };
    let model = Model::load(&dir, DType::F32).unwrap();
    let adapters: Vec<Arc<Adapter>> = (0..options.rows)
        .map(|number| {
            let dir = dir.join(format!("adapter-{number}"));
            Arc::new(Adapter::load("some", &dir, &model, &["bench".to_owned()]).unwrap())
        })
        .collect();
    let bytes = model.bytes() as f64;
    let alone = run(&model, &adapters, &options, 1, Slots::Each);
    let alone_mib = peak_mib();
    let base = run(&model, &adapters, &options, options.rows, Slots::Base);
    let mixed = run(&model, &adapters, &options, options.rows, Slots::Each);
    let rows = options.rows as f64;
    let result = json!({
        "shape": options.shape, "kind": options.kind.name(), "layers": model.config().layers, "prompt": options.prompt,
        "new": options.new, "rows": options.rows, "rank": options.rank,
        "modules": if options.all_modules { "all" } else { "attention" },
        "cores": rayon::current_num_threads(), "weights_mib": (bytes / 1048576.0).round(),
        "adapter_mib": (adapters[0].bytes() as f64 / 1048576.0).round(),
        "memory_gb_s": round(limits.bytes_s / 1e9), "avx2_giga_products_s": round(limits.products_s / 1e9),
        "one_row": rates(&alone, bytes, &limits),
        "base_batch": rates(&base, bytes / rows, &limits),
        "mixed_batch": rates(&mixed, bytes / rows, &limits),
        "batch_gain": round(mixed.decode / alone.decode),
        "adapters_cost_percent": round((1.0 - mixed.decode / base.decode) * 100.0),
        "peak_one_row_mib": alone_mib, "peak_mib": peak_mib(),
    });
    if options.json {
        println!("{result}");
        return;
    }
    for (key, value) in result.as_object().unwrap() {
        match value.as_object() {
            None => println!("{key:24} {value}"),
            Some(rates) => {
                let rates: Vec<String> = rates.iter().map(|(key, value)| format!("{key} {value}")).collect();
                println!("{key:24} {}", rates.join(", "));
            }
        }
    }
}

/// What the machine can do, and what a token needs.
struct Limits {
    /// Bytes and products a second, on all cores.
    bytes_s: f64,
    products_s: f64,
    /// Products of a token.
    decode_products: f64,
    prefill_products: f64,
}

/// `token_bytes` are the weights read for a token of decode.
fn rates(rates: &Rates, token_bytes: f64, limits: &Limits) -> Value {
    let percent = |share: f64| (share * 100.0).round();
    json!({
        "prefill_tokens_s": round(rates.prefill), "decode_tokens_s": round(rates.decode),
        "decode_percent_of_memory_rate": percent(token_bytes * rates.decode / limits.bytes_s),
        "decode_percent_of_avx2_limit": percent(limits.decode_products * rates.decode / limits.products_s),
        "prefill_percent_of_avx2_limit": percent(limits.prefill_products * rates.prefill / limits.products_s),
    })
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
