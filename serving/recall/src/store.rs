//! Vector stores: one [`Collection`] interface, in the process ([`edge`]) and on a Qdrant server ([`server`]).
//!
//! A collection holds points of one [`Model`]; a [`Catalogue`] keeps collections and says which is in use;
//! [`Collections`] is both for the rest of the crate: it erases and re-embeds by filling a new collection and
//! switching to it. What may be written is decided in [`admit`], how points look in [`point`], both without an engine.
//!
//! RC-2: whatever reads or deletes takes the tenant. The filter that keeps tenants apart is built in each store's
//! `filter` alone; what is for everybody ([`Collection::page`] and below) serves upkeep and never a reader.

mod admit;
mod collections;
mod edge;
mod point;
mod scope;
mod server;

#[cfg(test)]
mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use crave_schemas::UserId;
use qdrant_edge::SparseVector;
use uuid::Uuid;

pub(crate) use collections::{Collections, Target};
pub(crate) use edge::Folder;
pub(crate) use point::{Meaning, Point, Prepared};
pub(crate) use scope::Scope;
pub(crate) use server::Server;
pub use server::ServerOptions;

use crate::embed::Model;
use crate::{Result, SourceKind};

/// What a search is near to.
#[derive(Clone, Debug)]
pub(crate) enum Near {
    /// A vector of the collection's model.
    Meaning(Arc<Vec<f32>>),
    /// Words and their weights.
    Words(SparseVector),
}

/// What is read of points beside their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// Payloads.
    Payload,
    /// Vectors of words.
    Words,
    /// Payloads and vectors.
    All,
}

/// Points in the order of their ids, and where the next page begins.
pub(crate) type Page = (Vec<Point>, Option<Uuid>);

/// Memories and tombstones of one model. What has returned is on disk.
#[async_trait]
pub(crate) trait Collection: Send + Sync {
    /// Whose vectors it holds.
    fn model(&self) -> &Model;

    /// The person's `limit` nearest memories, nearest first, with all their parts.
    async fn nearest(&self, user: &UserId, near: Near, scope: &Scope, limit: usize) -> Result<Vec<Point>>;
    /// The person's memories with these ids, in no order.
    async fn get(&self, user: &UserId, ids: &[Uuid], parts: Parts) -> Result<Vec<Point>>;
    /// A page of the person's memories.
    async fn list(&self, user: &UserId, from: Option<Uuid>, limit: usize, parts: Parts) -> Result<Page>;
    /// How many memories the person has.
    async fn count(&self, user: &UserId) -> Result<usize>;
    /// Writes what [`admit`] lets pass.
    async fn upsert(&self, memories: Vec<Prepared>) -> Result<()>;
    /// Leaves a tombstone and deletes a source's memories up to a revision.
    async fn delete_source(&self, user: &UserId, kind: SourceKind, source: &str, through: u32) -> Result<()>;

    /// Deletes memories of the person, without a tombstone: they are kept elsewhere.
    async fn forget(&self, user: &UserId, ids: &[Uuid]) -> Result<()>;

    /// A page of the memories within a scope, of one person with all parts, or of everybody with their payloads.
    async fn within(
        &self,
        user: Option<&UserId>,
        scope: &Scope,
        from: Option<Uuid>,
        limit: usize,
    ) -> Result<Page>;
    /// A page of everything of everybody, with all parts.
    async fn page(&self, from: Option<Uuid>, limit: usize) -> Result<Page>;
    /// Writes points of another collection as they are.
    async fn put(&self, points: Vec<Point>) -> Result<()>;
    /// A page of the memories of everybody that have no vector of meaning: their payloads.
    async fn without_meaning(&self, from: Option<Uuid>, limit: usize) -> Result<Page>;
    /// Gives memories their vectors, where they are still there with the text that was embedded.
    async fn set_meanings(&self, meanings: Vec<Meaning>) -> Result<()>;
    /// How many memories there are, and how many of them have no vector of meaning.
    async fn totals(&self) -> Result<(usize, usize)>;
    /// Merges segments and builds the graph of large ones.
    async fn optimise(&self) -> Result<()>;
    /// Bytes of a log of its own in which deleted text may remain.
    fn log_bytes(&self) -> u64;
    /// Why writing has stopped, if it has.
    fn failure(&self) -> Option<String>;
    /// Ends it: waits for its readers and closes its files. Nothing is called after it.
    async fn close(&self) -> Result<()>;
}

/// What a catalogue holds.
pub(crate) struct Held {
    /// The collection in use and its number.
    pub(crate) current: (u64, Arc<dyn Collection>),
    /// The one that is being filled with vectors of another model.
    pub(crate) next: Option<(u64, Arc<dyn Collection>)>,
}

/// Numbered collections, of which one is in use and one may be on its way.
#[async_trait]
pub(crate) trait Catalogue: Send + Sync {
    /// What is there; where nothing is, an empty first collection of `model`. Remainders of a crash are removed.
    async fn open(&self, model: &Model) -> Result<Held>;
    /// Makes an empty collection, which is neither in use nor on its way yet.
    async fn create(&self, number: u64, model: &Model) -> Result<Arc<dyn Collection>>;
    /// Puts a collection in use, in one step.
    async fn set_current(&self, number: u64) -> Result<()>;
    /// Names the collection that is on its way, or none.
    async fn set_next(&self, number: Option<u64>) -> Result<()>;
    /// Puts the collection that is on its way in use, in one step; none is on its way then.
    async fn promote(&self, number: u64) -> Result<()>;
    /// Removes a closed collection and every byte of it.
    async fn remove(&self, number: u64) -> Result<()>;
}
