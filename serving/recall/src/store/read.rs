//! Reading: all calls block and run on blocking threads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crave_schemas::UserId;
use qdrant_edge::{
    CountRequest, NamedQuery, OperationError, PointId, QueryEnum, QueryRequest, Record, ScoredPoint,
    ScoringQuery, ScrollRequest, SparseVector, VectorInternal, VectorStructInternal, WithPayloadInterface,
    WithVector,
};

use super::filter::{self, DENSE, SPARSE, Scope};
use super::{Shared, WORD_STATS_USERS_MAX, codec};
use crate::lexical::{WordStats, dot};
use crate::{Error, Memory, MemoryId, Result};

/// Memories of a person whose words are counted for idf; of more than these the counts are of a sample.
const WORD_STATS_MEMORIES_MAX: usize = 20_000;

/// A candidate of a search with its raw scores.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) memory: Memory,
    /// Cosine to the query's vector, where both have one.
    pub(crate) cosine: Option<f32>,
    /// BM25 of the query's words.
    pub(crate) bm25: f32,
}

impl Shared {
    /// The best `limit` memories by meaning and the best `limit` by words, together, each with both raw scores.
    pub(crate) fn search(
        &self,
        user: &UserId,
        query: &str,
        meaning: Option<&[f32]>,
        scope: &Scope,
        limit: usize,
    ) -> Result<Vec<Found>> {
        let words = self.lexical.query(query, &*self.word_stats(user)?);
        let mut found = HashMap::new();
        if let Some(meaning) = meaning {
            let query = NamedQuery::new(VectorInternal::Dense(meaning.to_vec()), DENSE);
            self.nearest(user, query, scope, limit, &mut found)?;
        }
        if let Some(words) = &words {
            let query = NamedQuery::new(VectorInternal::Sparse(words.clone()), SPARSE);
            self.nearest(user, query, scope, limit, &mut found)?;
        }
        Ok(found.into_values().filter_map(|point| score(user, &point, meaning, words.as_ref())).collect())
    }

    fn nearest(
        &self,
        user: &UserId,
        query: NamedQuery<VectorInternal>,
        scope: &Scope,
        limit: usize,
        found: &mut HashMap<PointId, ScoredPoint>,
    ) -> Result<()> {
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
        let points = self.live().shard()?.query(request).map_err(refused)?;
        found.extend(points.into_iter().map(|point| (point.id, point)));
        Ok(())
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

/// Raw scores from the stored vectors, so that a memory found by one retriever has the other's score too.
fn score(
    user: &UserId,
    point: &ScoredPoint,
    meaning: Option<&[f32]>,
    words: Option<&SparseVector>,
) -> Option<Found> {
    let memory = codec::memory(point.payload.as_ref()?)?;
    if memory.user_id != *user {
        tracing::error!(invariant = "RC-2", "the index returned another tenant's memory; it was withheld");
        return None;
    }
    let vectors: Option<&VectorStructInternal> = point.vector.as_ref();
    let stored = vectors.and_then(codec::dense);
    let cosine = meaning.zip(stored).map(|(a, b)| a.iter().zip(b).map(|(x, y)| x * y).sum());
    let bm25 =
        words.zip(vectors.and_then(codec::sparse)).map_or(0.0, |(query, document)| dot(query, document));
    Some(Found { memory, cosine, bm25 })
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
