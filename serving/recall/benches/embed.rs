//! How fast MiniLM embeds: texts and tokens a second over notes and over long passages, and how long a question waits.
//!
//! ```sh
//! cargo bench -p crave-recall --bench embed -- [--json] [--runs N] [--texts FOLDER]
//! scripts/peers/embed.sh        # the same beside ONNX Runtime, as a ratio
//! ```
//!
//! `--texts` writes the texts, and the vectors of a few, for a peer to embed the same. Nothing is asserted.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a measurement ends by panicking"
)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use crave_recall::{Embedder as _, LIMITS, MiniLm, models};
use serde_json::json;

const NOTES: [&str; 2] =
    [include_str!("../data/notes-training.txt"), include_str!("../data/notes-evaluation.txt")];
/// Notes that are put together to a passage of about 250 tokens.
const PASSAGE_NOTES: usize = 13;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let runs = value("--runs").map_or(3, |runs| runs.parse().unwrap());
    let folder = std::env::var_os("CRAVE_MODELS").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/crave-wave/models"),
        PathBuf::from,
    );
    let model = MiniLm::load(&models::folder(&folder)).unwrap();
    let tokenizer = tokenizer(&models::folder(&folder));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let notes: Vec<String> = NOTES
        .iter()
        .flat_map(|file| file.lines())
        .filter_map(|line| {
            Some(line.strip_prefix('#').map_or(line, |_| "").split_once('|')?.1.trim().to_owned())
        })
        .collect();
    let passages = notes.chunks_exact(PASSAGE_NOTES).map(|notes| notes.join(" ")).collect();
    let mut report = Vec::new();
    for (name, texts) in [("notes", notes.clone()), ("passages", passages)] {
        let tokens: usize =
            texts.iter().map(|text| tokenizer.encode(text.as_str(), true).unwrap().len()).sum();
        let mut best = f64::INFINITY;
        let mut first = Vec::new();
        for run in 0..=runs {
            let start = Instant::now();
            let mut vectors = Vec::new();
            for batch in texts.chunks(LIMITS.upsert_memories_max) {
                vectors.extend(runtime.block_on(model.embed(batch.to_vec())).unwrap());
            }
            // The first warms up.
            if run > 0 {
                best = best.min(start.elapsed().as_secs_f64());
            }
            first = vectors.into_iter().take(20).collect();
        }
        if let Some(folder) = value("--texts").map(Path::new) {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join(format!("{name}.txt")), texts.join("\n")).unwrap();
            std::fs::write(folder.join(format!("{name}.json")), json!(first).to_string()).unwrap();
        }
        report.push(json!({ "texts": name, "n": texts.len(), "tokens": tokens, "seconds": best,
            "texts_per_s": texts.len() as f64 / best, "tokens_per_s": tokens as f64 / best }));
    }
    let mut waits: Vec<f64> = notes
        .iter()
        .take(300)
        .map(|note| {
            let start = Instant::now();
            runtime.block_on(model.embed_question(note.clone())).unwrap();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    waits.sort_by(f64::total_cmp);
    let question = json!({ "p50_ms": waits[waits.len() / 2], "p99_ms": waits[waits.len() * 99 / 100] });
    if args.iter().any(|arg| arg == "--json") {
        println!("{}", json!({ "engine": "crave", "embed": report, "question": question }));
        return;
    }
    println!("{:<10} {:>7} {:>9} {:>10} {:>10}", "texts", "n", "tokens", "texts/s", "tokens/s");
    for row in &report {
        let number = |name: &str| row[name].as_f64().unwrap();
        let (n, tokens) = (row["n"].as_u64().unwrap(), row["tokens"].as_u64().unwrap());
        let name = row["texts"].as_str().unwrap();
        println!(
            "{name:<10} {n:>7} {tokens:>9} {:>10.0} {:>10.0}",
            number("texts_per_s"),
            number("tokens_per_s")
        );
    }
    println!("a question: p50 {} ms, p99 {} ms", question["p50_ms"], question["p99_ms"]);
}

fn tokenizer(folder: &Path) -> tokenizers::Tokenizer {
    let mut tokenizer = tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).unwrap();
    tokenizer.with_padding(None);
    let truncation = tokenizers::TruncationParams { max_length: 256, ..Default::default() };
    tokenizer.with_truncation(Some(truncation)).unwrap();
    tokenizer
}
