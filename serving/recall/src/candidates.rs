//! What a search considers: the best by meaning and the best by words, what stands beside them, and how rare the words
//! are. The same over every store.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crave_schemas::UserId;
use qdrant_edge::SparseVector;
use uuid::Uuid;

use crate::lexical::{Lexical, WordStats, dot, narrowed, shared};
use crate::memory::SPEAKER;
use crate::stage::{Stage, Stages};
use crate::store::{Collection, Near, Parts, Point, Scope};
use crate::{Memory, Result};

/// Memories of a person whose words are counted for idf; of more than these the counts are of a sample.
const WORD_STATS_MEMORIES_MAX: usize = 20_000;
/// People whose word counts are kept in memory.
const WORD_STATS_USERS_MAX: usize = 1024;
/// Hits of each retriever whose neighbours are fetched.
const NEIGHBOURS_OF: usize = 40;

/// A candidate of a search with its raw scores.
#[derive(Clone, Debug)]
pub(crate) struct Found {
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

/// What a search looks for.
pub(crate) struct Wanted<'a> {
    pub(crate) query: &'a str,
    /// A vector of the collection's model.
    pub(crate) meaning: Option<Arc<Vec<f32>>>,
    pub(crate) scope: &'a Scope,
    /// Candidates of each retriever.
    pub(crate) limit: usize,
    pub(crate) stages: Stages,
}

/// In how many of each person's memories each word occurs; kept until one of them changes.
#[derive(Debug, Default)]
pub(crate) struct WordCounts {
    kept: Mutex<HashMap<UserId, Arc<WordStats>>>,
    /// Rises with each write, so that counts taken before it are not kept after it.
    writes: AtomicU64,
}

impl WordCounts {
    /// To be called once a person's memories have changed.
    pub(crate) fn forget(&self, user: &UserId) {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.kept().remove(user);
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<UserId, Arc<WordStats>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn of(&self, user: &UserId, collection: &dyn Collection) -> Result<Arc<WordStats>> {
        if let Some(stats) = self.kept().get(user) {
            return Ok(Arc::clone(stats));
        }
        let writes = self.writes.load(Ordering::SeqCst);
        let (points, _) = collection.list(user, None, WORD_STATS_MEMORIES_MAX, Parts::Words).await?;
        let mut stats = WordStats::default();
        for document in points.iter().filter_map(|point| point.sparse.as_ref()) {
            stats.add(document);
        }
        let stats = Arc::new(stats);
        let mut kept = self.kept();
        if self.writes.load(Ordering::SeqCst) == writes {
            if kept.len() >= WORD_STATS_USERS_MAX {
                kept.clear();
            }
            kept.insert(user.clone(), Arc::clone(&stats));
        }
        Ok(stats)
    }
}

/// The best `limit` memories by meaning and the best `limit` by words, with what stands beside the best of them,
/// together, each with both raw scores; and how rare each of the query's words is.
pub(crate) async fn candidates(
    collection: &dyn Collection,
    lexical: &Lexical,
    counts: &WordCounts,
    user: &UserId,
    wanted: Wanted<'_>,
) -> Result<(Vec<Found>, Vec<f32>)> {
    let Wanted { query, scope, limit, stages, .. } = wanted;
    let meaning = wanted.meaning.filter(|_| stages.has(Stage::Dense));
    let words = match stages.has(Stage::Lexical) {
        true => lexical.query(query, &*counts.of(user, collection).await?),
        false => None,
    };
    let nearest = |near: Option<Near>| async move {
        match near {
            Some(near) => collection.nearest(user, near, scope, limit).await,
            None => Ok(Vec::new()),
        }
    };
    let (by_meaning, by_words) = tokio::try_join!(
        nearest(meaning.clone().map(Near::Meaning)),
        nearest(words.clone().map(Near::Words)),
    )?;
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
        let missing: Vec<Uuid> = missing.into_iter().collect();
        let found = collection.get(user, &missing, Parts::All).await?;
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
        let cosine = |(a, b): (&Arc<Vec<f32>>, &Vec<f32>)| a.iter().zip(b).map(|(x, y)| x * y).sum();
        Found {
            cosine: meaning.as_ref().zip(point.dense.as_ref()).map(cosine),
            bm25: both.map_or(0.0, |(query, document)| dot(query, document)),
            words: both.map_or(0, |(query, document)| shared(query, document)),
            words_n: point.sparse.as_ref().map_or(0, |document| document.indices.len()),
            by_named: people.one.is_some() && memory.attribute(SPEAKER) == people.one.as_deref(),
            meaning: point.dense,
            memory,
        }
    });
    Ok((found.collect(), words.map(|words| words.values).unwrap_or_default()))
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
