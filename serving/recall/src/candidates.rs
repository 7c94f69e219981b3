//! What a search considers: the best by meaning and the best by words, what stands beside them, and how rare the words
//! are. The same over every store.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crave_schemas::UserId;
use qdrant_edge::SparseVector;
use serde_json::Value;
use uuid::Uuid;

use crate::asked::Asked;
use crate::cold::{Cold, Roster, Sought};
use crate::embed::Model;
use crate::lexical::{Lexical, WordStats, dot, known, narrowed, shared, told};
use crate::memory::SPEAKER;
use crate::score::{Weights, suffices};
use crate::stage::{Stage, Stages};
use crate::store::{Collection, Near, Parts, Point, Prepared, Scope};
use crate::{Error, Memory, MemoryId, Result};

/// Memories of a person whose words are counted for idf; of more than these the counts are of a sample.
const WORD_STATS_MEMORIES_MAX: usize = 20_000;
/// People whose word counts are kept in memory.
const WORD_STATS_USERS_MAX: usize = 1024;
/// Of so many memories one may be written before their words are counted again.
const STALE_PART: usize = 64;
/// Parts into which people fall by a hash, so that one's writes do not spoil another's counts.
const WRITES_PARTS: usize = 256;
/// Hits of each retriever whose neighbours are fetched.
const NEIGHBOURS_OF: usize = 40;

/// What a search considers. It depends on "now" only by leaving out what had not happened yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Candidates {
    pub(crate) found: Vec<Found>,
    /// How rare each of the query's words is among the person's memories (idf).
    pub(crate) idf: Vec<f32>,
    /// What each of them counts for coverage; see [`told`].
    pub(crate) told: Vec<f32>,
}

impl Candidates {
    /// About what they take in memory.
    pub(crate) fn bytes(&self) -> usize {
        let words = (self.idf.len() + self.told.len()) * size_of::<f32>();
        size_of::<Self>() + words + self.found.iter().map(Found::bytes).sum::<usize>()
    }
}

/// A candidate of a search with its raw scores.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: MemoryId,
    pub(crate) memory: Memory,
    /// Cosine to the query's vector, where both have one.
    pub(crate) cosine: Option<f32>,
    /// BM25 of the query's words.
    pub(crate) bm25: f32,
    /// Which of the query's words it has, as bits.
    pub(crate) words: u64,
    /// Its different words.
    pub(crate) words_n: usize,
    /// Spoken by the one person whom the query names.
    pub(crate) by_named: bool,
    /// Its vector of meaning.
    pub(crate) meaning: Option<Vec<f32>>,
}

impl Found {
    fn bytes(&self) -> usize {
        let memory = &self.memory;
        let attributes =
            memory.attributes.iter().map(|(name, value)| NODE_BYTES + name.len() + json_bytes(value));
        let texts = memory.text.len() + memory.source_id.len() + memory.user_id.as_str().len();
        let meaning = self.meaning.as_ref().map_or(0, |meaning| meaning.len() * size_of::<f32>());
        size_of::<Self>() + texts + meaning + attributes.sum::<usize>()
    }
}

/// What a field of a JSON object takes beside its name and value.
const NODE_BYTES: usize = 32;

fn json_bytes(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(json_bytes).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| NODE_BYTES + name.len() + json_bytes(value)).sum()
        }
        _ => 0,
    };
    size_of::<Value>() + inside
}

/// What a search looks for.
pub(crate) struct Wanted<'a> {
    pub(crate) query: &'a str,
    /// The same, read.
    pub(crate) asked: &'a Asked,
    pub(crate) weights: &'a Weights,
    /// A vector of the collection's model.
    pub(crate) meaning: Option<Arc<Vec<f32>>>,
    pub(crate) scope: &'a Scope,
    /// Candidates of each retriever.
    pub(crate) limit: usize,
    pub(crate) stages: Stages,
    /// The times of the person's cold memories, in microseconds since 1970.
    pub(crate) span: Option<(i64, i64)>,
}

impl Wanted<'_> {
    /// Whether the time that the question names reaches into the cold index; `None` where it names none.
    pub(crate) fn reaches(&self) -> Option<bool> {
        let (period, (oldest, newest)) = self.asked.period.as_ref().zip(self.span)?;
        Some(period.since.timestamp_micros() < newest && oldest <= period.until.timestamp_micros())
    }
}

/// In how many of each person's memories each word occurs; kept until many of them changed.
///
/// Counts of a person may lack what was written since, up to one in [`STALE_PART`] of their memories: the rarity of words
/// hardly moves by it, and somebody who writes all day would have all counted again for each question. With fewer
/// memories than that, and after a deletion, they are exact.
#[derive(Debug)]
pub(crate) struct WordCounts {
    kept: Mutex<HashMap<UserId, Counted>>,
    /// Rise with each write of a person of their part, so that counts taken before it are not kept after it.
    writes: [AtomicU64; WRITES_PARTS],
}

#[derive(Debug)]
struct Counted {
    stats: Arc<WordStats>,
    written_since: usize,
}

impl Default for WordCounts {
    fn default() -> Self {
        Self { kept: Mutex::default(), writes: [const { AtomicU64::new(0) }; WRITES_PARTS] }
    }
}

impl WordCounts {
    /// To be called once memories of a person were written.
    pub(crate) fn wrote(&self, user: &UserId, memories: usize) {
        self.writes(user).fetch_add(1, Ordering::SeqCst);
        let mut kept = self.kept();
        if let Some(counted) = kept.get_mut(user) {
            counted.written_since += memories;
            if counted.written_since * STALE_PART > counted.stats.memories() {
                kept.remove(user);
            }
        }
    }

    /// To be called once memories of a person are gone.
    pub(crate) fn forget(&self, user: &UserId) {
        self.writes(user).fetch_add(1, Ordering::SeqCst);
        self.kept().remove(user);
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<UserId, Counted>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writes(&self, user: &UserId) -> &AtomicU64 {
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        let [first, ..] = hasher.finish().to_le_bytes();
        // The first stands for all that cannot be.
        self.writes.get(usize::from(first) % WRITES_PARTS).unwrap_or(&self.writes[0])
    }

    async fn of(&self, user: &UserId, collection: &dyn Collection) -> Result<Arc<WordStats>> {
        if let Some(counted) = self.kept().get(user) {
            return Ok(Arc::clone(&counted.stats));
        }
        let writes = self.writes(user).load(Ordering::SeqCst);
        let (points, _) = collection.list(user, None, WORD_STATS_MEMORIES_MAX, Parts::Words).await?;
        let mut stats = WordStats::default();
        for document in points.iter().filter_map(|point| point.sparse.as_ref()) {
            stats.add(document);
        }
        let stats = Arc::new(stats);
        let mut kept = self.kept();
        if self.writes(user).load(Ordering::SeqCst) == writes {
            if kept.len() >= WORD_STATS_USERS_MAX {
                kept.clear();
            }
            kept.insert(user.clone(), Counted { stats: Arc::clone(&stats), written_since: 0 });
        }
        Ok(stats)
    }
}

/// Where a search looks.
pub(crate) struct Sources<'a> {
    pub(crate) collection: &'a dyn Collection,
    pub(crate) cold: &'a Arc<Cold>,
    /// What is known of the person's cold memories.
    pub(crate) roster: &'a Roster,
    pub(crate) lexical: &'a Lexical,
    pub(crate) counts: &'a WordCounts,
}

/// The best `limit` memories by meaning and the best `limit` by words, with what stands beside the best of them,
/// together, each with both raw scores; and how rare each of the query's words is.
///
/// The cold index is searched where [`looks_back`] says so. Its candidates go through the same steps, so that both
/// indexes together give what one with all memories would.
pub(crate) async fn candidates(
    sources: &Sources<'_>,
    user: &UserId,
    wanted: &Wanted<'_>,
) -> Result<Candidates> {
    let Sources { collection, cold, roster, lexical, counts } = *sources;
    let Wanted { query, scope, limit, stages, .. } = *wanted;
    let meaning = wanted.meaning.clone().filter(|_| stages.has(Stage::Dense));
    let counted = match stages.has(Stage::Lexical) {
        true => counts.of(user, collection).await?,
        false => Arc::default(),
    };
    let stats = [&*counted, &roster.words];
    let words = lexical.query(query, &stats).filter(|_| stages.has(Stage::Lexical));
    let nearest = |near: Option<Near>| async move {
        match near {
            Some(near) => collection.nearest(user, near, scope, limit).await,
            None => Ok(Vec::new()),
        }
    };
    let (mut by_meaning, mut by_words) = tokio::try_join!(
        nearest(meaning.clone().map(Near::Meaning)),
        nearest(words.clone().map(Near::Words)),
    )?;
    let back = Back {
        cold,
        user,
        meaning: meaning.as_ref(),
        model: collection.model(),
        words: words.as_ref(),
        scope,
    };
    let hot = || by_meaning.iter().chain(&by_words).map(|point| back.scores(point));
    // A word that no memory has is no reason to look further.
    let idf: Vec<f32> = words.as_ref().map(|words| known(words, &stats)).unwrap_or_default();
    if looks_back(wanted, hot(), &idf) {
        (by_meaning, by_words) = back.merged(by_meaning, by_words, limit).await?;
    }
    let beside: Vec<Uuid> = if stages.has(Stage::Neighbours) {
        let best = [&by_meaning, &by_words].into_iter().flat_map(|list| list.iter().take(NEIGHBOURS_OF));
        best.filter_map(|point| point.of(user))
            .flat_map(|memory| memory.neighbours())
            .map(|id| id.0)
            .collect()
    } else {
        Vec::new()
    };
    let mut points: HashMap<Uuid, Point> =
        by_meaning.into_iter().chain(by_words).map(|point| (point.id, point)).collect();
    let missing: HashSet<Uuid> = beside.into_iter().filter(|id| !points.contains_key(id)).collect();
    if !missing.is_empty() {
        let (old, missing): (Vec<Uuid>, Vec<Uuid>) =
            missing.into_iter().partition(|id| roster.get(*id).is_some());
        let mut found = collection.get(user, &missing, Parts::All).await?;
        if !old.is_empty() {
            found.extend(back.neighbours(old).await?);
        }
        let in_scope = |point: &Point| point.of(user).is_some_and(|memory| scope.holds(&memory));
        points.extend(found.into_iter().filter(in_scope).map(|point| (point.id, point)));
    }
    let read: Vec<(Memory, Point)> =
        points.into_values().filter_map(|point| Some((point.of(user)?, point))).collect();
    let people = people(lexical, &read, words.as_ref());
    let words = words.map(|words| {
        let names: &[u32] = if stages.has(Stage::Rewrite) { &people.names } else { &[] };
        narrowed(words, names)
    });
    let found = read.into_iter().map(|(memory, point)| {
        let both = words.as_ref().zip(point.sparse.as_ref());
        Found {
            cosine: cosine(meaning.as_ref(), &point),
            bm25: both.map_or(0.0, |(query, document)| dot(query, document)),
            words: both.map_or(0, |(query, document)| shared(query, document)),
            words_n: point.sparse.as_ref().map_or(0, |document| document.indices.len()),
            by_named: people.one.is_some() && memory.attribute(SPEAKER) == people.one.as_deref(),
            meaning: point.dense,
            id: memory.id(),
            memory,
        }
    });
    let found = found.collect();
    let told = words.as_ref().map(|words| told(words, &stats)).unwrap_or_default();
    Ok(Candidates { found, told, idf: words.map(|words| words.values).unwrap_or_default() })
}

/// Whether the cold index, with memories of the times in `span`, is searched: when the question names a time that reaches
/// into it, or the caller does, or when nothing of the hot index (its raw scores) answers well. Pure.
fn looks_back(wanted: &Wanted<'_>, mut hot: impl Iterator<Item = (Option<f32>, u64)>, idf: &[f32]) -> bool {
    let Some((oldest, newest)) = wanted.span else { return false };
    if wanted.scope.misses(oldest, newest) {
        return false;
    }
    match wanted.reaches() {
        Some(reaches) => reaches,
        None => {
            wanted.asked.names_time()
                || wanted.scope.from.or(wanted.scope.until).is_some()
                || !hot.any(|(cosine, words)| suffices(cosine, words, idf, wanted.weights))
        }
    }
}

fn cosine(meaning: Option<&Arc<Vec<f32>>>, point: &Point) -> Option<f32> {
    let (a, b) = meaning.zip(point.dense.as_ref())?;
    Some(a.iter().zip(b).map(|(x, y)| x * y).sum())
}

/// What is known of the person's cold memories.
pub(crate) async fn roster(cold: &Arc<Cold>, user: &UserId) -> Result<Arc<Roster>> {
    if !cold.has(user) {
        return Ok(Arc::default());
    }
    let user = user.clone();
    off_thread(cold, move |cold| cold.roster(&user)).await
}

/// Runs work of the cold index where it may block.
pub(crate) async fn off_thread<T: Send + 'static>(
    cold: &Arc<Cold>,
    work: impl FnOnce(&Cold) -> Result<T> + Send + 'static,
) -> Result<T> {
    let cold = Arc::clone(cold);
    let done = tokio::task::spawn_blocking(move || work(&cold)).await;
    done.map_err(|error| Error::Engine(error.to_string()))?
}

/// A search of the cold index.
struct Back<'a> {
    cold: &'a Arc<Cold>,
    user: &'a UserId,
    meaning: Option<&'a Arc<Vec<f32>>>,
    model: &'a Model,
    words: Option<&'a SparseVector>,
    scope: &'a Scope,
}

impl Back<'_> {
    /// Its cosine to the question, and which of the question's words it has.
    fn scores(&self, point: &Point) -> (Option<f32>, u64) {
        let both = self.words.zip(point.sparse.as_ref());
        (cosine(self.meaning, point), both.map_or(0, |(query, document)| shared(query, document)))
    }

    /// The best `limit` by meaning and by words of both indexes.
    async fn merged(
        &self,
        meaning: Vec<Point>,
        words: Vec<Point>,
        limit: usize,
    ) -> Result<(Vec<Point>, Vec<Point>)> {
        let old = self.read(move |cold, user, sought| cold.search(user, sought), limit).await?;
        let mut all: HashMap<Uuid, Point> = HashMap::new();
        for point in meaning.into_iter().chain(words).chain(old) {
            // While a memory moves it is in both.
            let newer = |other: &Point| other.revision() >= point.revision();
            if !all.get(&point.id).is_some_and(newer) {
                all.insert(point.id, point);
            }
        }
        let best = |score: &dyn Fn(&Point) -> Option<f32>| {
            let mut scored: Vec<(f32, &Point)> =
                all.values().filter_map(|point| Some((score(point)?, point))).collect();
            scored.sort_by(|(a, one), (b, other)| b.total_cmp(a).then(one.id.cmp(&other.id)));
            scored.into_iter().take(limit).map(|(_, point)| point.clone()).collect::<Vec<_>>()
        };
        let bm25 = |point: &Point| {
            let product = dot(self.words?, point.sparse.as_ref()?);
            (product > 0.0).then_some(product)
        };
        Ok((best(&|point| cosine(self.meaning, point)), best(&bm25)))
    }

    async fn neighbours(&self, ids: Vec<Uuid>) -> Result<Vec<Point>> {
        self.read(move |cold, user, sought| cold.neighbours(user, &ids, sought), 0).await
    }

    async fn read(
        &self,
        work: impl FnOnce(&Cold, &UserId, &Sought<'_>) -> Result<Vec<Prepared>> + Send + 'static,
        limit: usize,
    ) -> Result<Vec<Point>> {
        let (user, scope, model) = (self.user.clone(), self.scope.clone(), tag(self.model));
        let (meaning, words) = (self.meaning.cloned(), self.words.cloned());
        let found = off_thread(self.cold, move |cold| {
            let meaning = meaning.as_ref().map(|meaning| (meaning.as_slice(), model.as_str()));
            work(cold, &user, &Sought { meaning, words: words.as_ref(), scope: &scope, limit })
        });
        Ok(found.await?.into_iter().map(Prepared::into_point).collect())
    }
}

/// What the cold index calls a model.
pub(crate) fn tag(model: &Model) -> String {
    format!("{}/{}", model.name(), model.dimension())
}

/// Whom a query names.
struct People {
    /// The one person, where it is one.
    one: Option<String>,
    /// The words of the names of all who speak.
    names: Vec<u32>,
}

/// Whom of the speakers the query names.
fn people(lexical: &Lexical, read: &[(Memory, Point)], words: Option<&SparseVector>) -> People {
    let speakers: BTreeSet<&str> = read.iter().filter_map(|(memory, _)| memory.attribute(SPEAKER)).collect();
    let (mut named, mut names) = (Vec::new(), Vec::new());
    for speaker in speakers {
        let parts = lexical.document(speaker).map(|name| name.indices).unwrap_or_default();
        let in_query = |part: &u32| words.is_some_and(|words| words.indices.contains(part));
        if parts.iter().any(in_query) {
            named.push(speaker.to_owned());
        }
        names.extend(parts);
    }
    People { one: named.pop().filter(|_| named.is_empty()), names }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;

    #[test]
    fn the_cold_index_is_searched_when_a_time_or_nothing_else_answers() {
        let now: DateTime<Utc> = "2026-06-10T12:00:00Z".parse().unwrap();
        let micros = |text: &str| text.parse::<DateTime<Utc>>().unwrap().timestamp_micros();
        let span = Some((micros("2020-01-01T00:00:00Z"), micros("2024-12-31T00:00:00Z")));
        let weights = Weights::default();
        let (idf, sure, weak) = ([1.0, 3.0], (Some(0.2), 0b11), (Some(0.3), 0b01));
        let all = Scope::default();
        let later = Scope { from: Some(now - TimeDelta::days(30)), ..Scope::default() };
        let until = Scope { until: Some(now), ..Scope::default() };
        let table = [
            ("where was the cake", &all, span, vec![sure], false),
            ("where was the cake", &all, span, vec![(Some(0.9), 0)], false),
            ("where was the cake", &all, span, vec![weak], true),
            ("where was the cake", &all, span, vec![], true),
            ("where was the cake", &all, None, vec![], false),
            ("where was the cake", &later, span, vec![], false),
            ("where was the cake", &until, span, vec![sure], true),
            ("where was the cake in June 2022", &all, span, vec![sure], true),
            ("where was the cake yesterday", &all, span, vec![weak], false),
            ("where was the cake in June 2019", &all, span, vec![weak], false),
            ("the cake on Sundays", &all, span, vec![sure], true),
        ];
        for (query, scope, span, hot, expected) in table {
            let asked = Asked::read(query, now, 0);
            let stages = Stages::default();
            let (asked, weights) = (&asked, &weights);
            let wanted = Wanted { query, asked, weights, meaning: None, scope, limit: 9, stages, span };
            assert_eq!(looks_back(&wanted, hot.clone().into_iter(), &idf), expected, "{query} {hot:?}");
        }
    }
}
