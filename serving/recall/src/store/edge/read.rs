//! Reading: all calls block and run on blocking threads.

use crave_schemas::UserId;
use qdrant_edge::{
    CountRequest, Filter, NamedQuery, OperationError, PointId, QueryEnum, QueryRequest, ScoringQuery,
    ScrollRequest, VectorInternal, WithPayloadInterface, WithVector,
};
use uuid::Uuid;

use super::super::point::{DENSE, Point, SPARSE};
use super::super::{Near, Page, Parts, Scope};
use super::{Shared, codec, filter};
use crate::{Error, Result};

impl Shared {
    /// The person's nearest memories, nearest first.
    pub(super) fn nearest(
        &self,
        user: &UserId,
        near: Near,
        scope: &Scope,
        limit: usize,
    ) -> Result<Vec<Point>> {
        let query = match near {
            Near::Meaning(vector) => NamedQuery::new(VectorInternal::Dense(vector.to_vec()), DENSE),
            Near::Words(words) => NamedQuery::new(VectorInternal::Sparse(words), SPARSE),
        };
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
        let found = self.shard().get()?.query(request).map_err(refused)?;
        Ok(found
            .into_iter()
            .filter_map(|point| codec::point(point.id, point.payload, point.vector))
            .collect())
    }

    /// The person's memories with these ids. The engine knows no filter here, so ours is applied to what it returns.
    pub(super) fn get(&self, user: &UserId, ids: &[Uuid], parts: Parts) -> Result<Vec<Point>> {
        let points = self.retrieve(ids, Some(WithPayloadInterface::Bool(true)), with_vector(parts))?;
        let theirs = |point: &Point| point.memory().is_some_and(|memory| memory.user_id == *user);
        Ok(points.into_iter().filter(theirs).collect())
    }

    /// Points of anybody: for the writer, and for what filters them itself.
    pub(super) fn retrieve(
        &self,
        ids: &[Uuid],
        payload: Option<WithPayloadInterface>,
        vector: WithVector,
    ) -> Result<Vec<Point>> {
        let ids: Vec<PointId> = ids.iter().map(|id| PointId::Uuid(*id)).collect();
        let records = self.shard().get()?.retrieve(&ids, payload, Some(vector)).map_err(refused)?;
        Ok(records.into_iter().filter_map(codec::record).collect())
    }

    /// A page of points in the order of their ids, and where the next begins.
    pub(super) fn scroll(
        &self,
        filter: Filter,
        from: Option<Uuid>,
        limit: usize,
        parts: Parts,
    ) -> Result<Page> {
        let request = ScrollRequest {
            offset: from.map(PointId::Uuid),
            limit: Some(limit),
            filter: Some(filter),
            with_payload: Some(WithPayloadInterface::Bool(parts != Parts::Words)),
            with_vector: with_vector(parts),
            order_by: None,
        };
        let (records, next) = self.shard().get()?.scroll(request).map_err(refused)?;
        let next = next.and_then(|id| match id {
            PointId::Uuid(id) => Some(id),
            PointId::NumId(_) => None,
        });
        Ok((records.into_iter().filter_map(codec::record).collect(), next))
    }

    pub(super) fn count(&self, filter: Filter) -> Result<usize> {
        let request = CountRequest { filter: Some(filter), exact: true };
        self.shard().get()?.count(request).map_err(refused)
    }
}

fn with_vector(parts: Parts) -> WithVector {
    match parts {
        Parts::Payload => WithVector::Bool(false),
        Parts::Words => WithVector::Selector(vec![SPARSE.to_owned()]),
        Parts::All => WithVector::Bool(true),
    }
}

pub(super) fn refused(error: OperationError) -> Error {
    match error {
        // The description alone: the rest of this variant is a backtrace.
        OperationError::ServiceError { description, .. } => Error::Engine(description),
        other => Error::Engine(other.to_string()),
    }
}
