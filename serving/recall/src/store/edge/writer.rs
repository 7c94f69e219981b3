//! The writer: the one thread that updates, flushes and optimises.
//!
//! It takes what is waiting, applies it, flushes once, and only then answers: an answer means that the write is on
//! disk. A panic of the engine (it panics when a flush fails) stops writing for good and is reported as the reason;
//! what was answered before it is safe, and reading goes on.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crave_schemas::UserId;
use qdrant_edge::{
    EdgeShard, PointInsertOperations, PointOperations, UpdateOperation, WithPayloadInterface, WithVector,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::super::admit::{admitted, deciding, newest, with_meanings};
use super::super::point::{Meaning, Point, Prepared, key};
use super::filter::{self, path};
use super::read::refused;
use super::{Shared, codec, generation};
use crate::memory::tombstone_id;
use crate::{Error, Result, SourceKind};

/// Commands that share one flush.
const GROUP_COMMANDS_MAX: usize = 32;
/// Points in one operation of the engine.
const BATCH_POINTS: usize = 128;

type Reply = oneshot::Sender<Result<()>>;

/// What the writer does.
pub(super) enum Change {
    /// Writes memories.
    Upsert(Vec<Prepared>),
    /// Deletes a source's memories up to a revision and leaves a tombstone.
    DeleteSource { user: UserId, kind: SourceKind, source: String, through: u32 },
    /// Deletes memories without a tombstone.
    Forget { user: UserId, ids: Vec<Uuid> },
    /// Writes points as they are.
    Put(Vec<Point>),
    /// Gives memories their vectors.
    SetMeanings(Vec<Meaning>),
    /// Merges segments and builds the graph of large ones.
    Optimise,
}

/// A change, and who waits for it.
pub(super) struct Command {
    pub(super) change: Change,
    pub(super) reply: Reply,
}

/// Runs until the last sender is dropped.
pub(super) fn run(shared: &Shared, mut inbox: mpsc::Receiver<Command>) {
    while let Some(first) = inbox.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_COMMANDS_MAX
            && let Ok(next) = inbox.try_recv()
        {
            group.push(next);
        }
        let mut waiting = Vec::new();
        for Command { change, reply } in group {
            if matches!(change, Change::Optimise) {
                // It takes long: those before it need not wait.
                settle(shared, &mut waiting);
            }
            match guarded(shared, || apply(shared, change)) {
                Ok(()) => waiting.push(reply),
                Err(error) => answer(reply, Err(error)),
            }
        }
        settle(shared, &mut waiting);
        upkeep(shared);
    }
}

fn apply(shared: &Shared, change: Change) -> Result<()> {
    match change {
        Change::Upsert(memories) => upsert(shared, memories),
        Change::DeleteSource { user, kind, source, through } => {
            delete_source(shared, &user, kind, &source, through)
        }
        Change::Forget { user, ids } => {
            let doomed = filter::these_of(&user, &ids);
            let operation = UpdateOperation::PointOperation(PointOperations::DeletePointsByFilter(doomed));
            shared.shard().get()?.update(operation).map(drop).map_err(refused)
        }
        Change::Put(points) => write(shared.shard().get()?, points),
        Change::SetMeanings(meanings) => {
            let ids: Vec<Uuid> = meanings.iter().map(|meaning| meaning.id.0).collect();
            let all = Some(WithPayloadInterface::Bool(true));
            let stored = shared.retrieve(&ids, all, WithVector::Bool(true))?;
            write(shared.shard().get()?, with_meanings(stored, meanings))
        }
        Change::Optimise => shared.shard().get()?.optimize().map(drop).map_err(refused),
    }
}

/// Flushes once and answers everybody who waits for it.
fn settle(shared: &Shared, waiting: &mut Vec<Reply>) {
    if waiting.is_empty() {
        return;
    }
    let flushed = guarded(shared, || {
        shared.shard().get()?.flush();
        Ok(())
    });
    for reply in waiting.drain(..) {
        answer(reply, flushed.as_ref().map_err(|error| Error::Engine(error.to_string())).copied());
    }
}

fn upkeep(shared: &Shared) {
    let too_large = generation::wal_bytes(&shared.path) > shared.wal_bytes_max;
    if too_large
        && shared.failure().is_none()
        && let Err(error) = guarded(shared, || reopen(shared))
    {
        shared.fail(&error.to_string());
        tracing::error!(%error, "the memory index could not be opened again");
    }
}

/// Closes and opens the shard, which trims its log.
fn reopen(shared: &Shared) -> Result<()> {
    let mut shard = shared.shard_mut();
    // One that was closed for good stays closed.
    if shard.take().is_some() {
        *shard = Some(generation::load(&shared.path, &shared.model)?);
    }
    Ok(())
}

/// Runs `work` unless writing has stopped; a panic stops it.
pub(super) fn guarded(shared: &Shared, work: impl FnOnce() -> Result<()>) -> Result<()> {
    if let Some(why) = shared.failure() {
        return Err(Error::Engine(why));
    }
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text =
            panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        let why = text.unwrap_or("it panicked").to_owned();
        tracing::error!(reason = %why, "the memory index failed, writing stops");
        shared.fail(&why);
        Err(Error::Engine(why))
    })
}

fn answer(reply: Reply, result: Result<()>) {
    // Whoever asked may have gone: the write is done all the same.
    drop(reply.send(result));
}

fn upsert(shared: &Shared, memories: Vec<Prepared>) -> Result<()> {
    let newest = newest(memories);
    let stored = revisions(shared, &deciding(&newest))?;
    write(shared.shard().get()?, admitted(newest, &stored))
}

/// The revisions of those of `ids` that are stored.
fn revisions(shared: &Shared, ids: &[Uuid]) -> Result<HashMap<Uuid, u32>> {
    let fields = WithPayloadInterface::Fields(vec![path(key::REVISION)]);
    let points = shared.retrieve(ids, Some(fields), WithVector::Bool(false))?;
    Ok(points.iter().filter_map(|point| Some((point.id, point.revision()?))).collect())
}

fn write(shard: &EdgeShard, mut points: Vec<Point>) -> Result<()> {
    while !points.is_empty() {
        let rest = points.split_off(points.len().min(BATCH_POINTS));
        let batch = std::mem::replace(&mut points, rest).into_iter().map(codec::persisted).collect();
        let batch = PointInsertOperations::PointsList(batch);
        let operation = UpdateOperation::PointOperation(PointOperations::UpsertPoints(batch));
        shard.update(operation).map_err(refused)?;
    }
    Ok(())
}

fn delete_source(shared: &Shared, user: &UserId, kind: SourceKind, source: &str, through: u32) -> Result<()> {
    let id = tombstone_id(user, kind, source);
    let before = revisions(shared, &[id])?.remove(&id).unwrap_or(0);
    let shard = shared.shard();
    let shard = shard.get()?;
    write(shard, vec![Point::tombstone(user, kind, source, through.max(before))])?;
    let doomed = filter::source_of(user, kind, source, through);
    let operation = UpdateOperation::PointOperation(PointOperations::DeletePointsByFilter(doomed));
    shard.update(operation).map(drop).map_err(refused)
}
