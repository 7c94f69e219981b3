//! Years of one person in two indexes, one of which moves what is old, and the same questions to both.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Duration};
use crave_recall::{Embedder, LIMITS, Recall, SearchOptions};
use crave_schemas::UserId;
use serde_json::json;

use super::years::{Needle, years};

pub struct Shape {
    pub years: i64,
    pub per_day: i64,
    pub questions: usize,
}

pub struct Found {
    /// Memories in the hot index, in the cold one, and its bytes, at the end of each year.
    pub by_year: Vec<(usize, usize, u64)>,
    /// Of each question: whether it names the month, and whether its note was among the first five, here and there.
    pub answers: Vec<(bool, bool, bool)>,
    pub p50_ms: [f64; 2],
}

impl Found {
    /// Recall@5 of the index that moves what is old and of the one that evicts nothing.
    pub fn recall(&self, of: impl Fn(bool) -> bool) -> [f64; 2] {
        let of: Vec<_> = self.answers.iter().filter(|(named, ..)| of(*named)).collect();
        let share = |hit: fn(&(bool, bool, bool)) -> bool| {
            of.iter().filter(|one| hit(one)).count() as f64 / of.len().max(1) as f64
        };
        [share(|one| one.1), share(|one| one.2)]
    }

    pub fn json(&self) -> serde_json::Value {
        let recall = |of: fn(bool) -> bool| {
            let [tiered, whole] = self.recall(of);
            json!({ "tiered": tiered, "whole": whole, "ratio": tiered / whole })
        };
        let by_year = self.by_year.iter();
        json!({
            "by_year": by_year.map(|(hot, cold, bytes)| json!({ "hot": hot, "cold": cold, "cold_bytes": bytes }))
                .collect::<Vec<_>>(),
            "recall_at_5": { "all": recall(|_| true), "month_named": recall(|named| named),
                "no_time_named": recall(|named| !named) },
            "p50_ms": self.p50_ms,
        })
    }
}

/// Lives through the years, then asks about notes of the first two.
pub async fn measure(shape: &Shape, embedder: Arc<dyn Embedder>) -> Found {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tiered = Recall::open(dir.path(), Some(Arc::clone(&embedder))).await.unwrap();
    let whole = Recall::open(other.path(), Some(embedder)).await.unwrap();
    let user = UserId::new("ada").unwrap();
    let first = DateTime::from_timestamp(1_483_228_800, 0).unwrap();
    let (notes, needles) = years(&user, first, shape.years * 365, shape.per_day, 7);
    let mut by_year = Vec::new();
    let mut end = first;
    for year in notes.chunks((365 * shape.per_day) as usize) {
        // Once a month, as the follower and the upkeep of a server would.
        for month in year.chunks((31 * shape.per_day) as usize) {
            for batch in month.chunks(LIMITS.upsert_memories_max) {
                tiered.upsert(batch.to_vec()).await.unwrap();
                whole.upsert(batch.to_vec()).await.unwrap();
            }
            end = month.last().unwrap().event_time + Duration::days(1);
            while tiered.retire(end).await.unwrap() > 0 {}
        }
        let status = tiered.status().await.unwrap();
        by_year.push((status.memories, status.cold.memories, status.cold.bytes));
    }
    let early = (2 * 365 * shape.per_day) as usize;
    let needles: Vec<&Needle> = needles.iter().take(early.min(needles.len())).collect();
    let step = (needles.len() / shape.questions).max(1);
    let options = SearchOptions { k: 5, ..SearchOptions::new(end) };
    let (mut answers, mut times) = (Vec::new(), [Vec::new(), Vec::new()]);
    for needle in needles.into_iter().step_by(step).take(shape.questions) {
        let mut hits = [false; 2];
        for ((recall, hit), times) in [&tiered, &whole].into_iter().zip(&mut hits).zip(&mut times) {
            let start = Instant::now();
            let found = recall.search(&user, &needle.question, &options).await.unwrap();
            times.push(start.elapsed().as_secs_f64() * 1e3);
            *hit = found.iter().any(|hit| hit.memory.source_id == needle.source_id);
        }
        answers.push((needle.names_time, hits[0], hits[1]));
    }
    let p50_ms = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    Found { by_year, answers, p50_ms }
}
