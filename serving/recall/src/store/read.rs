//! Reading: all calls block and run on blocking threads.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crave_schemas::UserId;
use qdrant_edge::{
    CountRequest, NamedQuery, OperationError, Payload, PointId, QueryEnum, QueryRequest, Record,
    ScoringQuery, ScrollRequest, SparseVector, VectorInternal, VectorStructInternal, WithPayloadInterface,
    WithVector,
};

use super::filter::{self, DENSE, SPARSE, Scope};
use super::{Shared, WORD_STATS_USERS_MAX, codec};
use crate::lexical::{WordStats, dot, narrowed, shared};
use crate::memory::SPEAKER;
use crate::stage::{Stage, Stages};
use crate::{Error, Memory, MemoryId, Result};

/// Memories of a person whose words are counted for idf; of more than these the counts are of a sample.
const WORD_STATS_MEMORIES_MAX: usize = 20_000;

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
    pub(crate) meaning: Option<&'a [f32]>,
    pub(crate) scope: &'a Scope,
    /// Candidates of each retriever.
    pub(crate) limit: usize,
    pub(crate) stages: Stages,
}

/// A point's payload and vectors, from whichever call they came.
type Point = (Option<Payload>, Option<VectorStructInternal>);

impl Shared {
    /// The best `limit` memories by meaning and the best `limit` by words, with what stands beside the best of them,
    /// together, each with both raw scores; and how rare each of the query's words is.
    pub(crate) fn search(&self, user: &UserId, wanted: &Wanted<'_>) -> Result<(Vec<Found>, Vec<f32>)> {
        let Wanted { scope, limit, stages, .. } = *wanted;
        let meaning = wanted.meaning.filter(|_| stages.has(Stage::Dense));
        let words = if stages.has(Stage::Lexical) {
            self.lexical.query(wanted.query, &*self.word_stats(user)?)
        } else {
            None
        };
        let mut points: HashMap<PointId, Point> = HashMap::new();
        let mut best: Vec<PointId> = Vec::new();
        if let Some(meaning) = meaning {
            let query = NamedQuery::new(VectorInternal::Dense(meaning.to_vec()), DENSE);
            best.extend(self.nearest(user, query, scope, limit, &mut points)?);
        }
        if let Some(words) = &words {
            let query = NamedQuery::new(VectorInternal::Sparse(words.clone()), SPARSE);
            best.extend(self.nearest(user, query, scope, limit, &mut points)?);
        }
        if stages.has(Stage::Neighbours) {
            self.neighbours(user, scope, &best, &mut points)?;
        }
        let mut read: Vec<(Memory, Option<VectorStructInternal>)> = Vec::with_capacity(points.len());
        read.extend(points.into_values().filter_map(|point| Some((own(user, point.0.as_ref())?, point.1))));
        let people = self.people(&read, words.as_ref());
        let words = words.map(|words| {
            let names: &[u32] = if stages.has(Stage::Rewrite) { &people.names } else { &[] };
            narrowed(words, names)
        });
        let found = read.into_iter().map(|(memory, vectors)| {
            let stored = vectors.as_ref().and_then(codec::dense);
            let document = vectors.as_ref().and_then(codec::sparse);
            let both = words.as_ref().zip(document);
            Found {
                cosine: meaning.zip(stored).map(|(a, b)| a.iter().zip(b).map(|(x, y)| x * y).sum()),
                bm25: both.map_or(0.0, |(query, document)| dot(query, document)),
                words: both.map_or(0, |(query, document)| shared(query, document)),
                words_n: document.map_or(0, |document| document.indices.len()),
                by_named: people.one.is_some() && memory.attribute(SPEAKER) == people.one.as_deref(),
                meaning: stored.map(<[f32]>::to_vec),
                memory,
            }
        });
        Ok((found.collect(), words.map(|words| words.values).unwrap_or_default()))
    }

    /// Whom of the speakers the query names.
    fn people(
        &self,
        read: &[(Memory, Option<VectorStructInternal>)],
        words: Option<&SparseVector>,
    ) -> People {
        let speakers: BTreeSet<&str> =
            read.iter().filter_map(|(memory, _)| memory.attribute(SPEAKER)).collect();
        let (mut named, mut names) = (Vec::new(), Vec::new());
        for speaker in speakers {
            let parts = self.lexical.document(speaker).map(|name| name.indices).unwrap_or_default();
            let in_query = |part: &u32| words.is_some_and(|words| words.indices.contains(part));
            if parts.iter().any(in_query) {
                named.push(speaker.to_owned());
            }
            names.extend(parts);
        }
        People { one: named.pop().filter(|_| named.is_empty()), names }
    }

    /// Adds what stands just before and after the best of each list.
    fn neighbours(
        &self,
        user: &UserId,
        scope: &Scope,
        best: &[PointId],
        points: &mut HashMap<PointId, Point>,
    ) -> Result<()> {
        let beside = best.iter().filter_map(|id| own(user, points.get(id)?.0.as_ref()));
        let beside = beside.flat_map(|memory| memory.neighbours()).map(|id| PointId::Uuid(id.0));
        let missing: HashSet<PointId> = beside.filter(|id| !points.contains_key(id)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<PointId> = missing.into_iter().collect();
        let payload = Some(WithPayloadInterface::Bool(true));
        let records = self
            .live()
            .shard()?
            .retrieve(&missing, payload, Some(WithVector::Bool(true)))
            .map_err(refused)?;
        let in_scope =
            |record: &Record| own(user, record.payload.as_ref()).is_some_and(|memory| scope.holds(&memory));
        let records = records.into_iter().filter(in_scope);
        points.extend(records.map(|record| (record.id, (record.payload, record.vector))));
        Ok(())
    }

    /// Adds the nearest to `points` and gives the ids of the best of them.
    fn nearest(
        &self,
        user: &UserId,
        query: NamedQuery<VectorInternal>,
        scope: &Scope,
        limit: usize,
        points: &mut HashMap<PointId, Point>,
    ) -> Result<Vec<PointId>> {
        let request = QueryRequest {
            prefetches: Vec::new(),
            query: Some(ScoringQuery::Vector(QueryEnum::Nearest(query))),
            filter: Some(filter::memories_of(user, scope)),
            score_threshold: None,
            limit,
            offset: 0,
            params: None,
            with_vector: WithVector::Bool(true),
            with_payload: WithPayloadInterface::Bool(true),
        };
        let found = self.live().shard()?.query(request).map_err(refused)?;
        let best = found.iter().take(NEIGHBOURS_OF).map(|point| point.id).collect();
        points.extend(found.into_iter().map(|point| (point.id, (point.payload, point.vector))));
        Ok(best)
    }

    /// In how many of the person's memories each word occurs; kept until one of them changes.
    fn word_stats(&self, user: &UserId) -> Result<Arc<WordStats>> {
        if let Some(stats) = self.words().get(user) {
            return Ok(Arc::clone(stats));
        }
        let writes = self.writes.load(Ordering::SeqCst);
        let request = ScrollRequest {
            limit: Some(WORD_STATS_MEMORIES_MAX),
            filter: Some(filter::memories_of(user, &Scope::default())),
            with_payload: Some(WithPayloadInterface::Bool(false)),
            with_vector: WithVector::Selector(vec![SPARSE.to_owned()]),
            ..ScrollRequest::default()
        };
        let (records, _) = self.live().shard()?.scroll(request).map_err(refused)?;
        let mut stats = WordStats::default();
        for document in records.iter().filter_map(|record| codec::sparse(record.vector.as_ref()?)) {
            stats.add(document);
        }
        let stats = Arc::new(stats);
        let mut kept = self.words();
        if self.writes.load(Ordering::SeqCst) == writes {
            if kept.len() >= WORD_STATS_USERS_MAX {
                kept.clear();
            }
            kept.insert(user.clone(), Arc::clone(&stats));
        }
        Ok(stats)
    }

    /// The person's memories with these ids, in no order.
    pub(crate) fn get(&self, user: &UserId, ids: &[MemoryId]) -> Result<Vec<Memory>> {
        let ids: Vec<PointId> = ids.iter().map(|id| PointId::Uuid(id.0)).collect();
        let payload = Some(WithPayloadInterface::Bool(true));
        let records =
            self.live().shard()?.retrieve(&ids, payload, Some(WithVector::Bool(false))).map_err(refused)?;
        Ok(records.iter().filter_map(memory).filter(|memory| memory.user_id == *user).collect())
    }

    /// A page of the person's memories in the order of their ids, and where the next begins.
    pub(crate) fn list(
        &self,
        user: &UserId,
        from: Option<MemoryId>,
        limit: usize,
    ) -> Result<(Vec<Memory>, Option<MemoryId>)> {
        let filter = filter::memories_of(user, &Scope::default());
        let (records, next) = self.scroll(filter, from.map(|id| PointId::Uuid(id.0)), limit, false)?;
        let next = next.and_then(|id| match id {
            PointId::Uuid(id) => Some(MemoryId(id)),
            PointId::NumId(_) => None,
        });
        Ok((records.iter().filter_map(memory).filter(|memory| memory.user_id == *user).collect(), next))
    }

    /// Memories of anybody that have no vector of meaning: for the embedder, never for a reader.
    pub(crate) fn without_meaning(&self, limit: usize) -> Result<Vec<Memory>> {
        let (records, _) = self.scroll(filter::without_meaning(), None, limit, false)?;
        Ok(records.iter().filter_map(memory).collect())
    }

    /// A page of points and the id at which the next begins.
    pub(super) fn scroll(
        &self,
        filter: qdrant_edge::Filter,
        offset: Option<PointId>,
        limit: usize,
        with_vector: bool,
    ) -> Result<(Vec<Record>, Option<PointId>)> {
        let request = ScrollRequest {
            offset,
            limit: Some(limit),
            filter: Some(filter),
            with_payload: Some(WithPayloadInterface::Bool(true)),
            with_vector: WithVector::Bool(with_vector),
            order_by: None,
        };
        self.live().shard()?.scroll(request).map_err(refused)
    }

    /// How many memories the person has.
    pub(crate) fn count(&self, user: &UserId) -> Result<usize> {
        self.count_where(filter::memories_of(user, &Scope::default()))
    }

    /// How many memories there are, and how many of them have no vector of meaning.
    pub(crate) fn totals(&self) -> Result<(usize, usize)> {
        Ok((self.count_where(filter::every_memory())?, self.count_where(filter::without_meaning())?))
    }

    fn count_where(&self, filter: qdrant_edge::Filter) -> Result<usize> {
        let request = CountRequest { filter: Some(filter), exact: true };
        self.live().shard()?.count(request).map_err(refused)
    }
}

/// Whom a query names.
struct People {
    /// The one person, where it is one.
    one: Option<String>,
    /// The words of the names of all who speak.
    names: Vec<u32>,
}

/// The memory of a payload, if it is the person's.
fn own(user: &UserId, payload: Option<&Payload>) -> Option<Memory> {
    let memory = codec::memory(payload?)?;
    if memory.user_id != *user {
        tracing::error!(invariant = "RC-2", "the index returned another tenant's memory; it was withheld");
        return None;
    }
    Some(memory)
}

fn memory(record: &Record) -> Option<Memory> {
    codec::memory(record.payload.as_ref()?)
}

pub(super) fn refused(error: OperationError) -> Error {
    match error {
        // The description alone: the rest of this variant is a backtrace.
        OperationError::ServiceError { description, .. } => Error::Engine(description),
        other => Error::Engine(other.to_string()),
    }
}
