//! What the engine did, as counters for tests and operators and as metrics.
//!
//! No label holds a tenant: tenants fall into [`TENANT_BUCKETS`] by a hash, so that a flood shows without saying whose
//! it is, and no number of people makes more series.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use super::driver::Pending;
use crate::schedule::blocks::Blocks;

/// Groups that tenants are told by.
pub(crate) const TENANT_BUCKETS: u8 = 16;

/// What an engine did since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Passes over the model.
    pub passes: u64,
    /// Tokens of prompts that were run: those that the prefix cache spared are not among them.
    pub prefill_tokens: u64,
    /// Tokens of answers.
    pub answer_tokens: u64,
    /// Requests that run.
    pub running: u64,
    /// Requests that wait.
    pub waiting: u64,
}

/// The engine's thread writes, anybody reads.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    passes: AtomicU64,
    prefill_tokens: AtomicU64,
    answer_tokens: AtomicU64,
    running: AtomicU64,
    waiting: AtomicU64,
}

impl Meter {
    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            passes: read(&self.passes),
            prefill_tokens: read(&self.prefill_tokens),
            answer_tokens: read(&self.answer_tokens),
            running: read(&self.running),
            waiting: read(&self.waiting),
        }
    }

    /// A pass has run over `rows` of prompt tokens (beyond 1) or answers, `prefill` tokens of prompts among them.
    pub(super) fn pass(&self, rows: usize, tokens: usize, prefill: usize) {
        self.passes.fetch_add(1, Ordering::Relaxed);
        self.prefill_tokens.fetch_add(prefill as u64, Ordering::Relaxed);
        metrics::counter!("crave_lora_passes_total").increment(1);
        metrics::counter!("crave_lora_tokens_total", "kind" => "prefill").increment(prefill as u64);
        metrics::histogram!("crave_lora_batch_rows").record(rows as f64);
        metrics::histogram!("crave_lora_batch_tokens").record(tokens as f64);
    }

    /// A token of an answer was drawn; `before` is when the one before was, `None` of the first, which is measured from
    /// when the request came.
    pub(super) fn token(&self, came: DateTime<Utc>, before: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        self.answer_tokens.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("crave_lora_tokens_total", "kind" => "answer").increment(1);
        match before {
            None => {
                metrics::histogram!("crave_lora_time_to_first_token_seconds").record(seconds(now - came));
            }
            Some(before) => {
                metrics::histogram!("crave_lora_inter_token_seconds").record(seconds(now - before));
            }
        }
    }

    /// A request begins to run; `cached` tokens of its prompt were spared.
    pub(super) fn begun(&self, tenant: &str, waited: TimeDelta, cached: usize) {
        metrics::counter!("crave_lora_tokens_total", "kind" => "cached").increment(cached as u64);
        metrics::histogram!("crave_lora_queue_seconds", "tenant" => bucket(tenant)).record(seconds(waited));
    }

    /// Where the adapter of a request was when it came.
    pub(super) fn adapter(&self, tier: &'static str) {
        metrics::counter!("crave_lora_adapter_requests_total", "tier" => tier).increment(1);
    }

    /// How a request ended.
    pub(super) fn ended(&self, how: &'static str) {
        metrics::counter!("crave_lora_requests_total", "outcome" => how).increment(1);
    }

    /// What stands now, after each round of the engine.
    pub(super) fn round(
        &self,
        running: usize,
        waiting: &[Pending],
        blocks: &Blocks,
        total: usize,
        now: DateTime<Utc>,
    ) {
        let before = self.waiting.swap(waiting.len() as u64, Ordering::Relaxed);
        self.running.store(running as u64, Ordering::Relaxed);
        metrics::gauge!("crave_lora_requests", "state" => "running").set(running as f64);
        metrics::gauge!("crave_lora_requests", "state" => "waiting").set(waiting.len() as f64);
        let used = total - blocks.available();
        metrics::gauge!("crave_lora_kv_used_ratio").set(used as f64 / total as f64);
        if before > 0 || !waiting.is_empty() {
            for (bucket, age) in oldest(waiting, now) {
                metrics::gauge!("crave_lora_queue_age_seconds", "tenant" => bucket).set(age);
            }
        }
    }
}

/// Seconds that the longest waiting request of each bucket waits; 0 where none does.
fn oldest(waiting: &[Pending], now: DateTime<Utc>) -> BTreeMap<String, f64> {
    let mut ages: BTreeMap<String, f64> = (0..TENANT_BUCKETS).map(|number| (name(number), 0.0)).collect();
    for pending in waiting {
        let age = ages.entry(bucket(&pending.tenant)).or_default();
        *age = age.max(seconds(now - pending.came));
    }
    ages
}

fn bucket(tenant: &str) -> String {
    name(Sha256::digest(tenant)[0] % TENANT_BUCKETS)
}

fn name(number: u8) -> String {
    format!("{number:02}")
}

fn seconds(time: TimeDelta) -> f64 {
    time.as_seconds_f64().max(0.0)
}

/// Shared between the thread and the handles.
pub(crate) type SharedMeter = Arc<Meter>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_fall_into_few_buckets() {
        let names: std::collections::BTreeSet<String> =
            (0..1000).map(|number| bucket(&format!("person {number}"))).collect();
        assert_eq!(names.len(), usize::from(TENANT_BUCKETS));
        assert_eq!(bucket("a"), bucket("a"));
    }
}
