//! The writer: the one thread that updates, flushes, optimises and rebuilds.
//!
//! It takes what is waiting, applies it, flushes once, and only then answers: an answer means that the write is on
//! disk. A panic of the engine (it panics when a flush fails) stops writing for good and is reported as the reason;
//! what was answered before it is safe, and reading goes on.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use crave_schemas::UserId;
use qdrant_edge::{
    EdgeShard, PointId, PointInsertOperations, PointOperations, PointStructPersisted, Record,
    UpdateOperation, VectorStructInternal, WithPayloadInterface, WithVector,
};
use tokio::sync::{mpsc, oneshot};

use super::filter::{self, key, path};
use super::read::refused;
use super::{Prepared, Shared, codec, generation};
use crate::{Error, Result, SourceKind};

/// Commands that share one flush.
const GROUP_COMMANDS_MAX: usize = 32;
/// Points in one operation of the engine.
const BATCH_POINTS: usize = 128;
/// Points in a page while rebuilding.
const PAGE_POINTS: usize = 512;

type Reply = oneshot::Sender<Result<()>>;

/// What the writer does.
pub(crate) enum Command {
    /// Writes memories. With `only_existing`, those that are gone by now stay gone.
    Upsert { memories: Vec<Prepared>, only_existing: bool, reply: Reply },
    /// Deletes a source's memories up to a revision and leaves a tombstone.
    DeleteSource { user: UserId, kind: SourceKind, source_id: String, through: u32, reply: Reply },
    /// Leaves no byte of a person.
    EraseUser { user: UserId, reply: Reply },
    /// Rebuilds without what was deleted.
    Scrub { reply: Reply },
    /// Merges segments and builds the graph of large ones.
    Optimise { reply: Reply },
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
        for command in group {
            handle(shared, command, &mut waiting);
        }
        settle(shared, &mut waiting);
        upkeep(shared);
    }
}

/// Applies a quick command and leaves its answer in `waiting` for the flush; runs a long one at once.
fn handle(shared: &Shared, command: Command, waiting: &mut Vec<Reply>) {
    let (applied, reply) = match command {
        Command::Upsert { memories, only_existing, reply } => {
            (guarded(shared, || upsert(shared, memories, only_existing)), reply)
        }
        Command::DeleteSource { user, kind, source_id, through, reply } => {
            (guarded(shared, || delete_source(shared, &user, kind, &source_id, through)), reply)
        }
        Command::EraseUser { user, reply } => {
            return long(shared, waiting, reply, || rebuild(shared, Some(&user)));
        }
        Command::Scrub { reply } => return long(shared, waiting, reply, || rebuild(shared, None)),
        Command::Optimise { reply } => {
            return long(shared, waiting, reply, || {
                let live = shared.live();
                live.shard()?.optimize().map_err(refused)?;
                live.shard()?.flush();
                Ok(())
            });
        }
    };
    match applied {
        Ok(()) => waiting.push(reply),
        Err(error) => answer(reply, Err(error)),
    }
}

/// Answers what came before, then does the long work and answers it.
fn long(shared: &Shared, waiting: &mut Vec<Reply>, reply: Reply, work: impl FnOnce() -> Result<()>) {
    settle(shared, waiting);
    answer(reply, guarded(shared, work));
}

/// Flushes once and answers everybody who waits for it.
fn settle(shared: &Shared, waiting: &mut Vec<Reply>) {
    if waiting.is_empty() {
        return;
    }
    let flushed = guarded(shared, || {
        shared.live().shard()?.flush();
        Ok(())
    });
    for reply in waiting.drain(..) {
        answer(reply, flushed.as_ref().map_err(|error| Error::Engine(error.to_string())).copied());
    }
}

fn upkeep(shared: &Shared) {
    let too_large = generation::wal_bytes(&shared.live().path) > shared.wal_bytes_max;
    if too_large
        && shared.failure().is_none()
        && let Err(error) = guarded(shared, || shared.live_mut().reopen())
    {
        shared.fail(&error.to_string());
        tracing::error!(%error, "the memory index could not be opened again");
    }
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

fn upsert(shared: &Shared, memories: Vec<Prepared>, only_existing: bool) -> Result<()> {
    let live = shared.live();
    let shard = live.shard()?;
    let newest = newest(memories);
    let buried: Vec<PointId> =
        newest.values().map(tombstone_of).collect::<HashSet<_>>().into_iter().collect();
    let buried = revisions(shard, &buried)?;
    let stored = revisions(shard, &newest.keys().copied().collect::<Vec<_>>())?;
    let mut points = Vec::with_capacity(newest.len());
    let mut users = HashSet::new();
    for (id, one) in newest {
        let revision = one.memory.revision;
        let dead = buried.get(&tombstone_of(&one)).is_some_and(|through| revision <= *through);
        let before = stored.get(&id);
        let outdated = before.is_some_and(|before| *before > revision);
        let gone = only_existing && before.is_none();
        if !(dead || outdated || gone) {
            users.insert(one.memory.user_id.clone());
            points.push(one.into_point());
        }
    }
    let written = write(shard, points);
    // After the write: counts that a reader takes before it must not be kept.
    for user in &users {
        shared.forget_words(user);
    }
    written
}

/// One memory an id: the highest revision, of equals the last.
fn newest(memories: Vec<Prepared>) -> HashMap<PointId, Prepared> {
    let mut newest: HashMap<PointId, Prepared> = HashMap::with_capacity(memories.len());
    for one in memories {
        let id = one.id();
        if newest.get(&id).is_none_or(|other| other.memory.revision <= one.memory.revision) {
            newest.insert(id, one);
        }
    }
    newest
}

fn tombstone_of(one: &Prepared) -> PointId {
    codec::tombstone(&one.memory.user_id, one.memory.source_kind, &one.memory.source_id)
}

/// The revisions of those of `ids` that are stored.
fn revisions(shard: &EdgeShard, ids: &[PointId]) -> Result<HashMap<PointId, u32>> {
    let fields = WithPayloadInterface::Fields(vec![path(key::REVISION)]);
    let records = shard.retrieve(ids, Some(fields), Some(WithVector::Bool(false))).map_err(refused)?;
    Ok(records
        .into_iter()
        .filter_map(|record| Some((record.id, codec::revision(&record.payload?)?)))
        .collect())
}

fn write(shard: &EdgeShard, mut points: Vec<PointStructPersisted>) -> Result<()> {
    while !points.is_empty() {
        let rest = points.split_off(points.len().min(BATCH_POINTS));
        let batch = PointInsertOperations::PointsList(std::mem::replace(&mut points, rest));
        let operation = UpdateOperation::PointOperation(PointOperations::UpsertPoints(batch));
        shard.update(operation).map_err(refused)?;
    }
    Ok(())
}

fn delete_source(
    shared: &Shared,
    user: &UserId,
    kind: SourceKind,
    source_id: &str,
    through: u32,
) -> Result<()> {
    let live = shared.live();
    let shard = live.shard()?;
    let id = codec::tombstone(user, kind, source_id);
    let before = revisions(shard, &[id])?.remove(&id).unwrap_or(0);
    write(shard, vec![codec::tombstone_point(id, user, through.max(before))])?;
    let doomed = filter::source_of(user, kind, source_id, through);
    let operation = UpdateOperation::PointOperation(PointOperations::DeletePointsByFilter(doomed));
    shard.update(operation).map_err(refused)?;
    shared.scrub_due.store(true, Ordering::SeqCst);
    shared.forget_words(user);
    Ok(())
}

/// Copies every point but the erased person's into a new generation, switches to it and removes the old one.
/// Searches go on meanwhile; other writes wait.
fn rebuild(shared: &Shared, erased: Option<&UserId>) -> Result<()> {
    let number = shared.live().number + 1;
    let next = generation::create(&shared.dir, number)?;
    let mut offset = None;
    loop {
        let (records, following) = shared.scroll(qdrant_edge::Filter::new(), offset, PAGE_POINTS, true)?;
        let kept = records.into_iter().filter_map(|record| keep(record, erased)).collect();
        write(next.shard()?, kept)?;
        match following {
            Some(_) => offset = following,
            None => break,
        }
    }
    next.shard()?.flush();
    generation::make_current(&shared.dir, number)?;
    let old = std::mem::replace(&mut *shared.live_mut(), next);
    shared.writes.fetch_add(1, Ordering::SeqCst);
    shared.words().clear();
    shared.scrub_due.store(false, Ordering::SeqCst);
    old.remove()
}

fn keep(record: Record, erased: Option<&UserId>) -> Option<PointStructPersisted> {
    let payload = record.payload?;
    if erased.is_some_and(|user| codec::owner(&payload) == Some(user.as_str())) {
        return None;
    }
    let vector = record.vector.unwrap_or_else(|| VectorStructInternal::Named(HashMap::new()));
    Some(PointStructPersisted { id: record.id, vector: vector.into(), payload: Some(payload) })
}
