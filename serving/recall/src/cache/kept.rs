//! One cache: bounded in bytes, counted, and each entry somebody's.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crave_schemas::UserId;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::status::CacheUse;

/// Entries for which room is made at first.
const ENTRIES: usize = 256;

/// By what an entry is found.
pub(crate) trait Key: Clone + Eq + Hash {
    /// Whose it is.
    fn user(&self) -> &UserId;
    /// What it takes in memory.
    fn bytes(&self) -> usize;
}

type Entry<V> = (Arc<V>, u64);

#[derive(Clone)]
struct Bytes;

impl<K, V> Weighter<K, Entry<V>> for Bytes {
    fn weight(&self, _: &K, (_, bytes): &Entry<V>) -> u64 {
        *bytes
    }
}

/// Values that were computed, the least used of which go first.
pub(crate) struct Kept<K, V> {
    name: &'static str,
    entries: Cache<K, Entry<V>, Bytes>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl<K: Key, V> Kept<K, V> {
    /// Of at most `bytes_max`; the metrics call it `name`.
    pub(super) fn new(name: &'static str, bytes_max: u64) -> Self {
        let entries = Cache::with_weighter(ENTRIES, bytes_max, Bytes);
        Self { name, entries, hits: AtomicU64::default(), misses: AtomicU64::default() }
    }

    /// What is kept, where it still holds.
    pub(crate) fn get(&self, key: &K, holds: impl FnOnce(&V) -> bool) -> Option<Arc<V>> {
        let found = self.entries.get(key).map(|(value, _)| value).filter(|value| holds(value));
        let (count, outcome) = if found.is_some() { (&self.hits, "hit") } else { (&self.misses, "miss") };
        count.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("crave_recall_cache_total", "cache" => self.name, "outcome" => outcome)
            .increment(1);
        found
    }

    /// Keeps a value of so many bytes while it is `current`.
    pub(super) fn keep(&self, key: &K, value: Arc<V>, bytes: usize, current: impl Fn() -> bool) {
        if !current() {
            return;
        }
        let bytes = u64::try_from(key.bytes().saturating_add(bytes)).unwrap_or(u64::MAX);
        if bytes > self.entries.shard_capacity() {
            return;
        }
        self.entries.insert(key.clone(), (value, bytes));
        // Whoever made it stale in between may have looked for it before it was there.
        if !current() {
            self.entries.remove(key);
        }
        self.tell();
    }

    /// Leaves nothing of a person.
    pub(super) fn forget(&self, user: &UserId) {
        self.entries.retain(|key, _| key.user() != user);
        self.tell();
    }

    pub(super) fn clear(&self) {
        self.entries.clear();
        self.tell();
    }

    /// How it is used.
    pub(super) fn used(&self) -> CacheUse {
        CacheUse {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: self.entries.len(),
            bytes: self.entries.weight(),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "a gauge")]
    fn tell(&self) {
        metrics::gauge!("crave_recall_cache_bytes", "cache" => self.name).set(self.entries.weight() as f64);
    }
}
