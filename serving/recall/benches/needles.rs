//! Ten years of one person: does the hot index stay as large as it is after two, and is what happened in the first two
//! years still found? A thousand questions about one note each, beside an index that evicted nothing.
//!
//! ```sh
//! cargo bench -p crave-recall --bench needles -- [--json] [--years N] [--questions N] [--minilm]
//! ```
//!
//! `--minilm` embeds with the real model instead of the hashed words of the tests. Nothing is asserted.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a measurement ends by panicking"
)]
#![allow(dead_code, unreachable_pub, reason = "shared with the tests, and not all of it is used here")]

#[path = "../tests/recall/support/hashed.rs"]
mod hashed;
#[path = "../tests/recall/support/needles.rs"]
mod needles;
#[path = "../tests/recall/support/years.rs"]
mod years;

use std::path::PathBuf;
use std::sync::Arc;

use crave_recall::{Embedder, MiniLm, models};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let embedder: Arc<dyn Embedder> = if has("--minilm") {
        let folder = PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/crave-wave/models");
        Arc::new(MiniLm::load(&models::folder(&folder)).unwrap())
    } else {
        Arc::new(hashed::Hashed::new("hashed", 384))
    };
    let shape = needles::Shape {
        years: value("--years").map_or(10, |years| years.parse().unwrap()),
        per_day: 3,
        questions: value("--questions").map_or(1000, |n| n.parse().unwrap()),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let found = runtime.block_on(needles::measure(&shape, embedder));
    if has("--json") {
        println!("{}", found.json());
        return;
    }
    println!("{:<6} {:>10} {:>10} {:>12}", "year", "hot", "cold", "cold bytes");
    for (year, (hot, cold, bytes)) in found.by_year.iter().enumerate() {
        println!("{:<6} {hot:>10} {cold:>10} {bytes:>12}", year + 1);
    }
    println!("\n{:<22} {:>9} {:>12} {:>9}", "recall@5", "tiered", "not evicted", "ratio");
    for (name, [tiered, whole]) in [
        ("all", found.recall(|_| true)),
        ("naming the month", found.recall(|named| named)),
        ("naming no time", found.recall(|named| !named)),
    ] {
        println!("{name:<22} {tiered:>9.3} {whole:>12.3} {:>9.3}", tiered / whole);
    }
    let [tiered, whole] = found.p50_ms;
    println!("\na search: p50 {tiered:.2} ms, of the index that evicted nothing {whole:.2} ms");
}
