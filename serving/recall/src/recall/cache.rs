//! What is kept of questions: their vectors, and what was found for a person until something of theirs changes.
//!
//! A result depends on the person's memories, on the question with all its options, and on now. The first is told by a
//! version that rises once a change is on disk: a result counts only while it is the one under which the search began.
//! Now is counted in minutes ([`minute`]), so that a question asked again within one finds the same.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use crave_schemas::UserId;
use quick_cache::{Weighter, sync::Cache};
use serde::Serialize;

use super::Hit;
use crate::embed::Model;

/// Questions whose vectors are kept.
const QUESTIONS_MAX: usize = 1024;
/// Bytes of results that are kept, and what one takes about.
const RESULTS_BYTES_MAX: u64 = 32 << 20;
const RESULT_BYTES: u64 = 8 << 10;
/// Parts into which people fall by a hash, each with a version of its own.
const PARTS: usize = 1024;
/// Bytes of a hit beside its text and attributes.
const HIT_BYTES: usize = 512;

/// How often a cache had what was looked for, since the index was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HitRate {
    /// It was there.
    pub hits: u64,
    /// It was not.
    pub misses: u64,
}

/// The caches of the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Caches {
    /// Vectors of questions.
    pub questions: HitRate,
    /// What was found.
    pub results: HitRate,
    /// Bytes of what was found, about.
    pub results_bytes: u64,
}

#[derive(Debug, Default)]
struct Counter {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Counter {
    fn count<T>(&self, cache: &'static str, found: Option<T>) -> Option<T> {
        let (counter, outcome) = match found {
            Some(_) => (&self.hits, "hit"),
            None => (&self.misses, "miss"),
        };
        counter.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("crave_recall_cache_total", "cache" => cache, "outcome" => outcome).increment(1);
        found
    }

    fn rate(&self) -> HitRate {
        HitRate { hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }
}

/// Vectors of questions, by model and text.
#[derive(Debug)]
pub(super) struct Questions {
    kept: Cache<(Model, String), Arc<Vec<f32>>>,
    counter: Counter,
}

impl Default for Questions {
    fn default() -> Self {
        Self { kept: Cache::new(QUESTIONS_MAX), counter: Counter::default() }
    }
}

impl Questions {
    pub(super) fn get(&self, question: &(Model, String)) -> Option<Arc<Vec<f32>>> {
        self.counter.count("questions", self.kept.get(question))
    }

    pub(super) fn insert(&self, question: (Model, String), vector: Arc<Vec<f32>>) {
        self.kept.insert(question, vector);
    }
}

/// A search of a person, with all that decides what it finds beside their memories.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Search {
    pub(super) user: UserId,
    pub(super) query: String,
    /// Options, collection, whether by meaning, labels.
    pub(super) how: String,
}

/// The state of a person's memories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    theirs: u64,
    all: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    version: Version,
    hits: Arc<Vec<Hit>>,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Search, Kept> for Bytes {
    fn weight(&self, _: &Search, kept: &Kept) -> u64 {
        kept.bytes
    }
}

/// What was found, by search.
#[derive(Debug)]
pub(super) struct Results {
    kept: Cache<Search, Kept, Bytes>,
    theirs: [AtomicU64; PARTS],
    all: AtomicU64,
    counter: Counter,
}

impl Default for Results {
    fn default() -> Self {
        let items = usize::try_from(RESULTS_BYTES_MAX / RESULT_BYTES).unwrap_or(1);
        Self {
            kept: Cache::with_weighter(items, RESULTS_BYTES_MAX, Bytes),
            theirs: [const { AtomicU64::new(0) }; PARTS],
            all: AtomicU64::new(0),
            counter: Counter::default(),
        }
    }
}

impl Results {
    /// To be taken before a search reads anything.
    pub(super) fn version(&self, user: &UserId) -> Version {
        Version { theirs: self.theirs(user).load(Ordering::SeqCst), all: self.all.load(Ordering::SeqCst) }
    }

    pub(super) fn get(&self, search: &Search, version: Version) -> Option<Arc<Vec<Hit>>> {
        let kept = self.kept.get(search).filter(|kept| kept.version == version);
        self.counter.count("results", kept.map(|kept| kept.hits))
    }

    /// Keeps what a search found that began at `version`.
    pub(super) fn insert(&self, search: &Search, version: Version, hits: Arc<Vec<Hit>>) {
        let of = |hit: &Hit| {
            let memory = &hit.memory;
            let attributes: usize =
                memory.attributes.iter().map(|(name, v)| name.len() + v.to_string().len()).sum();
            HIT_BYTES + memory.text.len() + attributes
        };
        let bytes = hits.iter().map(of).sum::<usize>() + search.query.len() + search.how.len();
        let kept = Kept { version, hits, bytes: bytes as u64 };
        self.kept.insert(search.clone(), kept);
        // Whoever was erased meanwhile must not stay here.
        if self.version(&search.user) != version {
            self.kept.remove(search);
        }
    }

    /// To be called once something of a person changed.
    pub(super) fn changed(&self, user: &UserId) {
        self.theirs(user).fetch_add(1, Ordering::SeqCst);
    }

    /// To be called once something of many people changed.
    pub(super) fn all_changed(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    /// Leaves nothing of a person.
    pub(super) fn forget(&self, user: &UserId) {
        self.changed(user);
        self.kept.retain(|search, _| search.user != *user);
    }

    fn theirs(&self, user: &UserId) -> &AtomicU64 {
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        let part = usize::try_from(hasher.finish() % PARTS as u64).unwrap_or(0);
        // The first stands for all that cannot be.
        self.theirs.get(part).unwrap_or(&self.theirs[0])
    }
}

pub(super) fn caches(questions: &Questions, results: &Results) -> Caches {
    Caches {
        questions: questions.counter.rate(),
        results: results.counter.rate(),
        results_bytes: results.kept.weight(),
    }
}

/// The minute that `at` is in, by its end.
pub(super) fn minute(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_round_up(TimeDelta::minutes(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Memory, Recall, SearchOptions, SourceKind};

    #[derive(Clone, Debug)]
    enum Step {
        Write { user: usize, source: usize, words: usize, revision: u32 },
        Delete { user: usize, source: usize },
        Erase { user: usize },
        Retire,
        Search { user: usize, words: usize, seconds: i64 },
    }

    const WORDS: [&str; 5] = ["late cake", "cake at night", "a walk", "wine with friends", "night walk"];

    fn step() -> impl Strategy<Value = Step> {
        let (user, source, words) = (0..3_usize, 0..4_usize, 0..WORDS.len());
        prop_oneof![
            4 => (user.clone(), source.clone(), words.clone(), 0..3_u32)
                .prop_map(|(user, source, words, revision)| Step::Write { user, source, words, revision }),
            2 => (user.clone(), source).prop_map(|(user, source)| Step::Delete { user, source }),
            1 => user.clone().prop_map(|user| Step::Erase { user }),
            1 => Just(Step::Retire),
            8 => (user, words, 0..90_i64)
                .prop_map(|(user, words, seconds)| Step::Search { user, words, seconds }),
        ]
    }

    fn user(number: usize) -> UserId {
        UserId::new(format!("person-{number}")).unwrap()
    }

    /// Whatever happens, a search finds what one without a cache finds.
    #[test]
    fn what_is_kept_is_what_would_be_found() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let cases = ProptestConfig { cases: 8, ..ProptestConfig::default() };
        let hits = std::cell::Cell::new(0);
        proptest!(cases, |(steps in proptest::collection::vec(step(), 10..60))| {
            runtime.block_on(async {
                let folder = tempfile::tempdir().unwrap();
                let recall = Recall::open(folder.path(), None).await.unwrap();
                let now: DateTime<Utc> = "2026-06-10T12:00:30Z".parse().unwrap();
                for (at, step) in steps.into_iter().enumerate() {
                    match step {
                        Step::Write { user: number, source, words, revision } => {
                            // Some are old enough to be cold, some are of the next minute.
                            let ages = [TimeDelta::days(3), TimeDelta::days(900), TimeDelta::seconds(-20)];
                            let age = ages[(source + at) % ages.len()];
                            let (source, text) = (format!("note-{source}"), WORDS[words]);
                            let mut memory = Memory::new(user(number), SourceKind::Note, source, now - age, text);
                            memory.revision = revision;
                            recall.upsert(vec![memory]).await.unwrap();
                        }
                        Step::Delete { user: number, source } => {
                            let source = format!("note-{source}");
                            recall.delete_source(&user(number), SourceKind::Note, &source, Some(0)).await.unwrap();
                        }
                        Step::Erase { user: number } => {
                            recall.erase_user(&user(number)).await.unwrap();
                            let left = |search: &Search| search.user == user(number);
                            prop_assert!(!recall.inner.results.kept.iter().any(|(search, _)| left(&search)));
                        }
                        Step::Retire => { recall.retire(now).await.unwrap(); }
                        Step::Search { user: number, words, seconds } => {
                            let options = SearchOptions::new(now + TimeDelta::seconds(seconds));
                            let user = user(number);
                            let found = recall.search(&user, WORDS[words], &options).await.unwrap();
                            let again = recall.search(&user, WORDS[words], &options).await.unwrap();
                            recall.inner.results.kept.clear();
                            let fresh = recall.search(&user, WORDS[words], &options).await.unwrap();
                            prop_assert_eq!(&found, &fresh);
                            prop_assert_eq!(&again, &fresh);
                            prop_assert!(found.iter().all(|hit| hit.memory.user_id == user));
                            prop_assert!(found.iter().all(|hit| hit.memory.event_time <= options.as_of));
                        }
                    }
                }
                hits.set(hits.get() + recall.inner.results.counter.rate().hits);
                Ok(())
            })?;
        });
        assert!(hits.get() > 0, "the cache was used");
    }

    #[test]
    fn a_minute_is_told_by_its_end() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        assert_eq!(minute(at("2026-06-10T12:00:00.000001Z")), at("2026-06-10T12:01:00Z"));
        assert_eq!(minute(at("2026-06-10T12:01:00Z")), at("2026-06-10T12:01:00Z"));
    }

    #[test]
    fn a_result_that_a_change_overtook_is_not_kept() {
        let results = Results::default();
        let user = user(1);
        let search = Search { user: user.clone(), query: "cake".into(), how: String::new() };
        let version = results.version(&user);
        results.changed(&user);
        results.insert(&search, version, Arc::new(Vec::new()));
        assert!(results.kept.is_empty());
        let version = results.version(&user);
        results.insert(&search, version, Arc::new(Vec::new()));
        assert!(results.get(&search, version).is_some());
        results.all_changed();
        assert!(results.get(&search, results.version(&user)).is_none());
        results.forget(&user);
        assert!(results.kept.is_empty());
    }
}
