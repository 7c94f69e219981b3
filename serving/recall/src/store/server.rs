//! A collection on a Qdrant server, over gRPC.
//!
//! Every write waits until it is applied, which the server's own log makes durable. One lock orders the writes of this
//! process, so that reading revisions and writing what they admit is one step; no other process may write to the same
//! collections. Requests are bounded in size and in time, and a failure that passes says so.
//!
//! No server was to be had where this was written: it has run against the stand-in of the conformance tests only, which
//! run against a server where `QDRANT_URL` names one.

mod catalogue;
mod codec;
mod filter;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use crave_schemas::UserId;
use qdrant_client::qdrant::{
    CountPointsBuilder, DeletePointsBuilder, Filter, GetPointsBuilder, PointId, Query, QueryPointsBuilder,
    ScrollPointsBuilder, UpsertPointsBuilder,
};
use qdrant_client::{Qdrant, QdrantError};
use tokio::sync::Mutex;
use tonic::Code;
use uuid::Uuid;

pub(crate) use catalogue::Server;

use super::admit::{admitted, deciding, newest, with_meanings};
use super::point::{DENSE, Meaning, Point, Prepared, SPARSE};
use super::{Collection, Near, Page, Parts, Scope};
use crate::embed::{Key, Model};
use crate::error::ErrorKind;
use crate::memory::tombstone_id;
use crate::{Error, Result, SourceKind};

/// Points in one request.
const BATCH_POINTS: usize = 128;
/// Points in one page of a long list.
const PAGE_POINTS: usize = 1000;

/// Where a server is and what it may take.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Its gRPC address: `http://HOST:6334`, or `https://…`.
    pub url: String,
    /// Its API key, where it wants one.
    pub key: Option<Key>,
    /// What our collections are called: the collection in use is an alias of this name. Ours alone.
    pub name: String,
    /// Longest wait for one request.
    pub timeout: Duration,
}

/// A collection by its own name, not by the alias.
pub(super) struct Remote {
    client: Qdrant,
    url: String,
    name: String,
    model: Model,
    writing: Mutex<()>,
}

impl Remote {
    fn new(client: Qdrant, url: String, name: String, model: Model) -> Self {
        Self { client, url, name, model, writing: Mutex::new(()) }
    }

    fn failed(&self, error: QdrantError) -> Error {
        failed(&self.url, error)
    }

    async fn write(&self, mut points: Vec<Point>) -> Result<()> {
        while !points.is_empty() {
            let rest = points.split_off(points.len().min(BATCH_POINTS));
            let batch = std::mem::replace(&mut points, rest).into_iter().map(codec::sent).collect::<Vec<_>>();
            let request = UpsertPointsBuilder::new(&self.name, batch).wait(true);
            self.client.upsert_points(request).await.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    async fn retrieve(&self, ids: &[Uuid], parts: Parts) -> Result<Vec<Point>> {
        let mut points = Vec::with_capacity(ids.len());
        for ids in ids.chunks(PAGE_POINTS) {
            let ids: Vec<PointId> = ids.iter().map(|id| codec::id(*id)).collect();
            let request = GetPointsBuilder::new(&self.name, ids)
                .with_payload(parts != Parts::Words)
                .with_vectors(codec::vectors(parts));
            let found = self.client.get_points(request).await.map_err(|error| self.failed(error))?;
            points.extend(
                found
                    .result
                    .into_iter()
                    .filter_map(|found| codec::read(found.id, found.payload, found.vectors)),
            );
        }
        Ok(points)
    }

    async fn revisions(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, u32>> {
        let points = self.retrieve(ids, Parts::Payload).await?;
        Ok(points.iter().filter_map(|point| Some((point.id, point.revision()?))).collect())
    }

    /// A page, in as many requests as its size takes.
    async fn scroll(
        &self,
        filter: Filter,
        mut from: Option<Uuid>,
        limit: usize,
        parts: Parts,
    ) -> Result<Page> {
        let mut points = Vec::new();
        while points.len() < limit {
            let page = u32::try_from((limit - points.len()).min(PAGE_POINTS)).unwrap_or(1);
            let mut request = ScrollPointsBuilder::new(&self.name)
                .filter(filter.clone())
                .limit(page)
                .with_payload(parts != Parts::Words)
                .with_vectors(codec::vectors(parts));
            if let Some(from) = from {
                request = request.offset(codec::id(from));
            }
            let read = self.client.scroll(request).await.map_err(|error| self.failed(error))?;
            let found = read.result.into_iter();
            points.extend(found.filter_map(|found| codec::read(found.id, found.payload, found.vectors)));
            from = read.next_page_offset.as_ref().and_then(codec::uuid);
            if from.is_none() {
                break;
            }
        }
        Ok((points, from))
    }

    async fn count_where(&self, filter: Filter) -> Result<usize> {
        let request = CountPointsBuilder::new(&self.name).filter(filter).exact(true);
        let counted = self.client.count(request).await.map_err(|error| self.failed(error))?;
        Ok(counted.result.map_or(0, |result| usize::try_from(result.count).unwrap_or(usize::MAX)))
    }
}

#[async_trait]
impl Collection for Remote {
    fn model(&self) -> &Model {
        &self.model
    }

    async fn nearest(&self, user: &UserId, near: Near, scope: &Scope, limit: usize) -> Result<Vec<Point>> {
        let (query, using) = match near {
            Near::Meaning(vector) => (Query::from(vector.to_vec()), DENSE),
            Near::Words(words) => (Query::from(codec::pairs(words)), SPARSE),
        };
        let request = QueryPointsBuilder::new(&self.name)
            .query(query)
            .using(using)
            .filter(filter::memories_of(user, scope))
            .limit(u64::try_from(limit).unwrap_or(u64::MAX))
            .with_payload(true)
            .with_vectors(codec::vectors(Parts::All));
        let found = self.client.query(request).await.map_err(|error| self.failed(error))?;
        let read = found.result.into_iter();
        Ok(read.filter_map(|found| codec::read(found.id, found.payload, found.vectors)).collect())
    }

    async fn get(&self, user: &UserId, ids: &[Uuid], parts: Parts) -> Result<Vec<Point>> {
        // The payload tells whose each is: a request by ids knows no filter.
        let parts = if parts == Parts::Words { Parts::All } else { parts };
        let theirs = |point: &Point| point.memory().is_some_and(|memory| memory.user_id == *user);
        Ok(self.retrieve(ids, parts).await?.into_iter().filter(theirs).collect())
    }

    async fn list(&self, user: &UserId, from: Option<Uuid>, limit: usize, parts: Parts) -> Result<Page> {
        self.scroll(filter::memories_of(user, &Scope::default()), from, limit, parts).await
    }

    async fn count(&self, user: &UserId) -> Result<usize> {
        self.count_where(filter::memories_of(user, &Scope::default())).await
    }

    async fn upsert(&self, memories: Vec<Prepared>) -> Result<()> {
        let _ordered = self.writing.lock().await;
        let newest = newest(memories);
        let stored = self.revisions(&deciding(&newest)).await?;
        self.write(admitted(newest, &stored)).await
    }

    async fn delete_source(&self, user: &UserId, kind: SourceKind, source: &str, through: u32) -> Result<()> {
        let _ordered = self.writing.lock().await;
        let id = tombstone_id(user, kind, source);
        let before = self.revisions(&[id]).await?.remove(&id).unwrap_or(0);
        self.write(vec![Point::tombstone(user, kind, source, through.max(before))]).await?;
        let doomed = filter::source_of(user, kind, source, through);
        let request = DeletePointsBuilder::new(&self.name).points(doomed).wait(true);
        self.client.delete_points(request).await.map(drop).map_err(|error| self.failed(error))
    }

    async fn forget(&self, user: &UserId, ids: &[Uuid]) -> Result<()> {
        let _ordered = self.writing.lock().await;
        let doomed = filter::these_of(user, ids);
        let request = DeletePointsBuilder::new(&self.name).points(doomed).wait(true);
        self.client.delete_points(request).await.map(drop).map_err(|error| self.failed(error))
    }

    async fn within(
        &self,
        user: Option<&UserId>,
        scope: &Scope,
        from: Option<Uuid>,
        limit: usize,
    ) -> Result<Page> {
        match user {
            Some(user) => self.scroll(filter::memories_of(user, scope), from, limit, Parts::All).await,
            None => self.scroll(filter::all_within(scope), from, limit, Parts::Payload).await,
        }
    }

    async fn page(&self, from: Option<Uuid>, limit: usize) -> Result<Page> {
        self.scroll(Filter::default(), from, limit, Parts::All).await
    }

    async fn put(&self, points: Vec<Point>) -> Result<()> {
        let _ordered = self.writing.lock().await;
        self.write(points).await
    }

    async fn without_meaning(&self, from: Option<Uuid>, limit: usize) -> Result<Page> {
        self.scroll(filter::without_meaning(), from, limit, Parts::Payload).await
    }

    async fn set_meanings(&self, meanings: Vec<Meaning>) -> Result<()> {
        let _ordered = self.writing.lock().await;
        let ids: Vec<Uuid> = meanings.iter().map(|meaning| meaning.id.0).collect();
        let stored = self.retrieve(&ids, Parts::All).await?;
        self.write(with_meanings(stored, meanings)).await
    }

    async fn totals(&self) -> Result<(usize, usize)> {
        tokio::try_join!(
            self.count_where(filter::every_memory()),
            self.count_where(filter::without_meaning())
        )
    }

    /// The server does so by itself.
    async fn optimise(&self) -> Result<()> {
        Ok(())
    }

    /// The server's log is its own.
    fn log_bytes(&self) -> u64 {
        0
    }

    fn failure(&self) -> Option<String> {
        None
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// What the server or the way to it says, without what was sent.
fn failed(url: &str, error: QdrantError) -> Error {
    let (why, passes) = match error {
        QdrantError::ResponseError { status } => {
            let code = status.code();
            let passes = matches!(
                code,
                Code::Unavailable
                    | Code::DeadlineExceeded
                    | Code::ResourceExhausted
                    | Code::Aborted
                    | Code::Cancelled
                    | Code::Internal
            );
            (format!("answered {code:?}: {}", short(status.message())), passes)
        }
        QdrantError::ResourceExhaustedError { retry_after_seconds, .. } => {
            (format!("is overloaded and wants a pause of {retry_after_seconds} s"), true)
        }
        other => (short(&other.to_string()), false),
    };
    let kind = if passes { ErrorKind::Unavailable } else { ErrorKind::Internal };
    Error::Server { url: url.to_owned(), why, kind }
}

/// The first line of a message, cut.
fn short(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().take(200).collect()
}
