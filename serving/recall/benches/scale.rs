//! A million memories of ten thousand people of Zipf sizes: how long a search takes by the size of the person, idle and
//! while others write and the index is optimised; what the graph misses; what a memory takes of memory and disk; and
//! that what others write changes nobody's ranking.
//!
//! ```sh
//! cargo bench -p crave-recall --bench scale -- [--json] [--memories N] [--users N] [--largest N] [--dir FOLDER]
//! ```
//!
//! `--dir` keeps the index, and takes it up again where it is there. Vectors are drawn around random centres, so no model
//! is needed and a question's vector costs nothing: times are without embedding it. Nothing is asserted.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a measurement ends by panicking"
)]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use crave_recall::{
    Embedder, Memory, Model, Recall, Result, SearchOptions, SourceKind, Stage, Stages, Weights,
};
use crave_schemas::UserId;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const DIMENSION: usize = 384;
const CENTRES: u64 = 2_000;
const VOCABULARY: u32 = 8_000;
const BATCH: usize = 1024;
/// Memories of one person from which on the engine uses the graph: 10,000 kB of 384 floats.
const SCAN_MAX: usize = 10_000 * 1024 / (DIMENSION * 4);
const SEARCHES: usize = 400;
const UPSERTS_PER_S: usize = 1_000;

/// Turns the number at the end of a text into a vector near one of the centres.
#[derive(Debug)]
struct Drawn {
    model: Model,
    centres: Vec<Vec<f32>>,
}

impl Drawn {
    fn new() -> Self {
        let centres = (0..CENTRES).map(|centre| noise(centre, 1.0)).collect();
        Self { model: Model::new("drawn", DIMENSION).unwrap(), centres }
    }

    fn vector(&self, text: &str) -> Vec<f32> {
        let seed: u64 = text.rsplit('#').next().unwrap().parse().unwrap();
        let centre = &self.centres[(seed % CENTRES) as usize];
        let mut vector = noise(seed ^ 0x5eed_0000_0000, 0.8);
        vector.iter_mut().zip(centre).for_each(|(x, y)| *x += y);
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        vector
    }
}

fn noise(seed: u64, scale: f32) -> Vec<f32> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    // The sum of two is near enough to a bell.
    (0..DIMENSION).map(|_| scale * (dice.random::<f32>() + dice.random::<f32>() - 1.0)).collect()
}

#[async_trait]
impl Embedder for Drawn {
    fn model(&self) -> &Model {
        &self.model
    }

    fn is_remote(&self) -> bool {
        false
    }

    async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }

    async fn embed_question(&self, question: String) -> Result<Vec<f32>> {
        Ok(self.vector(&question))
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn user(rank: usize) -> UserId {
    UserId::new(format!("user-{rank:05}")).unwrap()
}

/// A few words, rarer ones more seldom, and the number of its vector.
fn text(seed: u64) -> String {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let mut text = String::new();
    for _ in 0..dice.random_range(6..14) {
        let word = (f64::from(VOCABULARY).powf(dice.random::<f64>())) as u32;
        text.push_str(&format!("w{word}x "));
    }
    text + &format!("#{seed}")
}

fn seed(rank: usize, n: usize) -> u64 {
    ((rank as u64) << 32) | n as u64
}

fn memory(rank: usize, n: usize) -> Memory {
    let age = TimeDelta::minutes(((n * 7919) % 525_600) as i64);
    Memory::new(user(rank), SourceKind::Note, format!("e{n}"), now() - age, text(seed(rank, n)))
}

struct Shape {
    memories: usize,
    users: usize,
    largest: usize,
}

impl Shape {
    /// The memories of the `rank`-th person, from 1: a Zipf tail under the largest, evened out to the whole.
    fn size(&self, rank: usize) -> usize {
        let tail: usize = (1..=self.users).map(|rank| self.largest / rank).sum();
        self.largest / rank + self.memories.saturating_sub(tail) / self.users
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let number = |name: &str, default: usize| value(name).map_or(default, |value| value.parse().unwrap());
    let memories = number("--memories", 1_000_000);
    let shape = Shape {
        memories,
        users: number("--users", (memories / 100).max(10)),
        largest: number("--largest", memories / 10),
    };
    let scratch = tempfile::tempdir().unwrap();
    let dir = value("--dir").map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let report = runtime.block_on(measure(&shape, &dir));
    if args.iter().any(|arg| arg == "--json") {
        println!("{report}");
    } else {
        table(&report);
    }
}

async fn measure(shape: &Shape, dir: &Path) -> Value {
    let drawn = Arc::new(Drawn::new());
    let before = resident();
    let recall =
        Recall::open(dir, Some(Arc::clone(&drawn) as Arc<dyn Embedder>)).await.unwrap().without_cache();
    let sizes: Vec<usize> = (1..=shape.users).map(|rank| shape.size(rank)).collect();
    let total: usize = sizes.iter().sum();
    let built = if recall.count(&user(1)).await.unwrap() < sizes[0] {
        build(&recall, &sizes).await
    } else {
        Value::Null
    };
    let mut deciles = Vec::new();
    for decile in 0..10 {
        let ranks: Vec<usize> = (shape.users * decile / 10 + 1..=shape.users * (decile + 1) / 10).collect();
        let times = searches(&recall, &ranks, decile as u64).await;
        deciles.push(row(&format!("decile {}", decile + 1), &ranks, &sizes, times));
    }
    deciles.push(row("largest alone", &[1], &sizes, searches(&recall, &[1], 99).await));
    let graph = graph_recall(&recall, &drawn, &sizes).await;
    let (resident, disk) = (resident().saturating_sub(before), disk(dir));
    let foreign = foreign(&recall, shape).await;
    let busy = busy(&recall, shape, &sizes).await;
    json!({
        "memories": total, "users": shape.users, "built": built, "idle": deciles, "recall_at_10": graph,
        "anonymous_bytes_per_memory": resident as f64 / total as f64, "disk_bytes_per_memory": disk as f64 / total as f64,
        "rankings_changed_by_foreign_memories": foreign, "busy": busy,
    })
}

/// Writes all memories in random order, four batches at a time, and builds the graphs.
async fn build(recall: &Recall, sizes: &[usize]) -> Value {
    let mut all: Vec<(usize, usize)> =
        sizes.iter().enumerate().flat_map(|(at, size)| (0..*size).map(move |n| (at + 1, n))).collect();
    all.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    let start = Instant::now();
    let all = Arc::new(all);
    let next = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (recall, all, next) = (recall.clone(), Arc::clone(&all), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let at = next.fetch_add(BATCH, Ordering::Relaxed);
                    let Some(batch) =
                        all.get(at..all.len().min(at + BATCH)).filter(|batch| !batch.is_empty())
                    else {
                        return;
                    };
                    recall.upsert(batch.iter().map(|(rank, n)| memory(*rank, *n)).collect()).await.unwrap();
                    if (at / BATCH).is_multiple_of(100) {
                        eprintln!("{at} memories written");
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let written = start.elapsed();
    eprintln!("written in {written:?}, optimising");
    let start = Instant::now();
    recall.optimise().await.unwrap();
    json!({ "write_s": written.as_secs_f64(), "memories_per_s": all.len() as f64 / written.as_secs_f64(),
        "optimise_s": start.elapsed().as_secs_f64() })
}

/// Milliseconds of searches of random people.
async fn searches(recall: &Recall, ranks: &[usize], salt: u64) -> Vec<f64> {
    let mut dice = ChaCha8Rng::seed_from_u64(salt);
    let options = SearchOptions::new(now());
    let mut times = Vec::with_capacity(SEARCHES);
    for _ in 0..SEARCHES {
        let rank = ranks[dice.random_range(0..ranks.len())];
        let question = text(dice.random());
        let start = Instant::now();
        recall.search(&user(rank), &question, &options).await.unwrap();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times
}

fn row(name: &str, ranks: &[usize], sizes: &[usize], mut times: Vec<f64>) -> Value {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    json!({ "who": name, "smallest": sizes[ranks[ranks.len() - 1] - 1], "largest": sizes[ranks[0] - 1],
        "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0) })
}

/// The share of the ten nearest of an exact search that a search by meaning gives, of people beyond the plain scan.
async fn graph_recall(recall: &Recall, drawn: &Drawn, sizes: &[usize]) -> Value {
    let weights = Weights { cosine_min: -1.0, cosine_min_old: -1.0, repeat: 0.0, ..Weights::default() };
    let stages = Stages::only(&[Stage::Dense, Stage::Depth]);
    let options = SearchOptions { weights, stages, ..SearchOptions::new(now()) };
    let (mut found, mut wanted, mut people) = (0, 0, 0);
    for (at, size) in sizes.iter().enumerate().filter(|(_, size)| **size > SCAN_MAX).step_by(3) {
        let rank = at + 1;
        people += 1;
        let vectors: Vec<Vec<f32>> = (0..*size).map(|n| drawn.vector(&text(seed(rank, n)))).collect();
        let mut dice = ChaCha8Rng::seed_from_u64(rank as u64);
        for _ in 0..50 {
            let question = text(dice.random());
            let query = drawn.vector(&question);
            let mut exact: Vec<(f32, usize)> = vectors
                .iter()
                .map(|vector| vector.iter().zip(&query).map(|(x, y)| x * y).sum())
                .zip(0..)
                .collect();
            exact.select_nth_unstable_by(9, |a, b| b.0.total_cmp(&a.0));
            let exact: HashSet<String> = exact[..10].iter().map(|(_, n)| format!("e{n}")).collect();
            let hits = recall.search(&user(rank), &question, &options).await.unwrap();
            found += hits.iter().filter(|hit| exact.contains(&hit.memory.source_id)).count();
            wanted += 10;
        }
    }
    json!({ "people": people, "recall": if wanted == 0 { 1.0 } else { f64::from(found as u32) / f64::from(wanted) } })
}

/// How many of a hundred rankings of one person differ once a hundred thousand memories of others have come.
async fn foreign(recall: &Recall, shape: &Shape) -> usize {
    let rank = 20.min(shape.users);
    let questions: Vec<String> = (0..100).map(|n| text(0xf0_0000 + n)).collect();
    let options = SearchOptions::new(now());
    let mut before = Vec::new();
    for question in &questions {
        before.push(recall.search(&user(rank), question, &options).await.unwrap());
    }
    let others = shape.users + 1;
    for first in (0..shape.memories / 10).step_by(BATCH) {
        let batch = (first..(first + BATCH).min(shape.memories / 10)).map(|n| memory(others + n % 1000, n));
        recall.upsert(batch.collect()).await.unwrap();
    }
    let mut changed = 0;
    for (question, before) in questions.iter().zip(before) {
        changed += usize::from(recall.search(&user(rank), question, &options).await.unwrap() != before);
    }
    changed
}

/// Searches while a thousand memories a second are written and the index is optimised again and again.
async fn busy(recall: &Recall, shape: &Shape, sizes: &[usize]) -> Value {
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let writer = {
        let (recall, stop, written) = (recall.clone(), Arc::clone(&stop), Arc::clone(&written));
        let users = shape.users;
        tokio::spawn(async move {
            let mut dice = ChaCha8Rng::seed_from_u64(5);
            let size = UPSERTS_PER_S / 20;
            let mut tick = tokio::time::interval(Duration::from_millis(50));
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                let at = 1_000_000 + written.load(Ordering::Relaxed);
                // People write about as often as they have written.
                let mut rank = || ((users as f64).powf(dice.random::<f64>()) as usize).clamp(1, users);
                recall.upsert((at..at + size).map(|n| memory(rank(), n)).collect()).await.unwrap();
                written.fetch_add(size, Ordering::Relaxed);
            }
        })
    };
    let optimiser = {
        let (recall, stop) = (recall.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut runs = 0;
            while !stop.load(Ordering::Relaxed) {
                recall.optimise().await.unwrap();
                runs += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            runs
        })
    };
    let mut rows = Vec::new();
    for (name, from, to) in [("decile 1", 0, 1), ("deciles 2-5", 1, 5), ("deciles 6-10", 5, 10)] {
        let ranks: Vec<usize> = (shape.users * from / 10 + 1..=shape.users * to / 10).collect();
        rows.push(row(name, &ranks, sizes, searches(recall, &ranks, 7 + from as u64).await));
    }
    rows.push(row("largest alone", &[1], sizes, searches(recall, &[1], 98).await));
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let runs: usize = optimiser.await.unwrap();
    json!({ "searches": rows, "written_per_s": written.load(Ordering::Relaxed) as f64 / seconds, "seconds": seconds,
        "optimised": runs })
}

/// Bytes of anonymous memory; mapped files are the page cache's.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn disk(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.metadata().unwrap() {
            data if data.is_dir() => disk(&entry.path()),
            data => data.blocks() * 512,
        })
        .sum()
}

fn table(report: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    println!("{} memories of {} people", report["memories"], report["users"]);
    if !report["built"].is_null() {
        let built = &report["built"];
        println!(
            "written at {:.0} memories/s in {:.0} s, optimised in {:.0} s",
            number(&built["memories_per_s"]),
            number(&built["write_s"]),
            number(&built["optimise_s"])
        );
    }
    println!(
        "{:.0} bytes of anonymous memory and {:.0} bytes of disk a memory",
        number(&report["anonymous_bytes_per_memory"]),
        number(&report["disk_bytes_per_memory"])
    );
    println!(
        "recall@10 {:.4} of {} people above the scan; {} of 100 rankings changed by foreign memories",
        number(&report["recall_at_10"]["recall"]),
        report["recall_at_10"]["people"],
        report["rankings_changed_by_foreign_memories"]
    );
    let busy = &report["busy"];
    for (name, rows) in [("idle", &report["idle"]), ("busy", &busy["searches"])] {
        println!("\n{name:<15} {:>9} {:>9} {:>9} {:>9} {:>9}", "from", "to", "p50 ms", "p99 ms", "max ms");
        for row in rows.as_array().unwrap() {
            println!(
                "{:<15} {:>9} {:>9} {:>9.2} {:>9.2} {:>9.2}",
                row["who"].as_str().unwrap(),
                row["smallest"],
                row["largest"],
                number(&row["p50_ms"]),
                number(&row["p99_ms"]),
                number(&row["max_ms"])
            );
        }
    }
    println!(
        "\nmeanwhile {:.0} memories/s were written and the index was optimised {} times in {:.0} s",
        number(&busy["written_per_s"]),
        busy["optimised"],
        number(&busy["seconds"])
    );
}
