//! A collection in the process: one `qdrant-edge` shard behind one writer thread.
//!
//! What the engine leaves to its user (read in its 0.7.2 source) is done here:
//!
//! - its write-ahead log is never replayed and never cut: an upsert counts only after a flush, so [`writer`] flushes
//!   each group of commands before it answers, and [`generation`] trims the log whenever a shard is opened;
//! - `flush` panics while an update holds a lock: one thread does both;
//! - its calls block: reads run on blocking threads, writes on the writer's;
//! - a deleted text stays in the log and in free pages: erasing copies the shard into a new folder.

mod codec;
mod filter;
mod folder;
mod generation;
mod read;
mod writer;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use async_trait::async_trait;
use crave_schemas::UserId;
use qdrant_edge::EdgeShard;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub(crate) use folder::Folder;

use super::point::{Meaning, Point, Prepared};
use super::{Collection, Near, Page, Parts, Scope};
use crate::embed::Model;
use crate::{Error, Result, SourceKind};
use writer::{Change, Command};

/// Commands waiting for the writer; a full queue makes the sender wait.
const QUEUE_COMMANDS_MAX: usize = 64;
/// The engine's log is trimmed (by closing and opening the shard) when it is larger.
const WAL_BYTES_MAX: u64 = 128 << 20;

/// What readers and the writer share.
struct Shared {
    path: PathBuf,
    model: Model,
    /// `None` once it is closed, or when it could not be opened again.
    shard: RwLock<Option<EdgeShard>>,
    wal_bytes_max: u64,
    failed: Mutex<Option<String>>,
    _lock: Arc<File>,
}

/// The open shard. Dropping it waits for the writer to finish what it was given.
pub(super) struct Edge {
    shared: Arc<Shared>,
    commands: Option<mpsc::Sender<Command>>,
    writer: Option<JoinHandle<()>>,
}

impl Edge {
    fn start(
        path: PathBuf,
        model: Model,
        shard: EdgeShard,
        lock: Arc<File>,
        wal_bytes_max: u64,
    ) -> Result<Self> {
        let (shard, failed) = (RwLock::new(Some(shard)), Mutex::new(None));
        let shared = Arc::new(Shared { path, model, shard, wal_bytes_max, failed, _lock: lock });
        let (commands, inbox) = mpsc::channel(QUEUE_COMMANDS_MAX);
        let writer = std::thread::Builder::new()
            .name("recall-writer".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || writer::run(&shared, inbox)
            })
            .map_err(|error| Error::io("start a thread for", &shared.path, error))?;
        Ok(Self { shared, commands: Some(commands), writer: Some(writer) })
    }

    /// Runs `work` on a blocking thread: the engine blocks.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        blocking(move || work(&shared)).await
    }

    /// Hands a change to the writer and waits for its answer.
    async fn write(&self, change: Change) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.as_ref().ok_or(Error::Closed)?;
        commands.send(Command { change, reply }).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the recall writer panicked");
        }
    }
}

impl Shared {
    fn shard(&self) -> Guard<'_> {
        Guard(self.shard.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn shard_mut(&self) -> RwLockWriteGuard<'_, Option<EdgeShard>> {
        self.shard.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, why: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert_with(|| why.to_owned());
    }
}

/// The shard, not closed while this is held.
struct Guard<'a>(RwLockReadGuard<'a, Option<EdgeShard>>);

impl Guard<'_> {
    fn get(&self) -> Result<&EdgeShard> {
        self.0.as_ref().ok_or(Error::Closed)
    }
}

#[async_trait]
impl Collection for Edge {
    fn model(&self) -> &Model {
        &self.shared.model
    }

    async fn nearest(&self, user: &UserId, near: Near, scope: &Scope, limit: usize) -> Result<Vec<Point>> {
        let (user, scope) = (user.clone(), scope.clone());
        self.read(move |shared| shared.nearest(&user, near, &scope, limit)).await
    }

    async fn get(&self, user: &UserId, ids: &[Uuid], parts: Parts) -> Result<Vec<Point>> {
        let (user, ids) = (user.clone(), ids.to_vec());
        self.read(move |shared| shared.get(&user, &ids, parts)).await
    }

    async fn list(&self, user: &UserId, from: Option<Uuid>, limit: usize, parts: Parts) -> Result<Page> {
        let all = filter::memories_of(user, &Scope::default());
        self.read(move |shared| shared.scroll(all, from, limit, parts)).await
    }

    async fn count(&self, user: &UserId) -> Result<usize> {
        let all = filter::memories_of(user, &Scope::default());
        self.read(move |shared| shared.count(all)).await
    }

    async fn upsert(&self, memories: Vec<Prepared>) -> Result<()> {
        self.write(Change::Upsert(memories)).await
    }

    async fn delete_source(&self, user: &UserId, kind: SourceKind, source: &str, through: u32) -> Result<()> {
        let (user, source) = (user.clone(), source.to_owned());
        self.write(Change::DeleteSource { user, kind, source, through }).await
    }

    async fn forget(&self, user: &UserId, ids: &[Uuid]) -> Result<()> {
        self.write(Change::Forget { user: user.clone(), ids: ids.to_vec() }).await
    }

    async fn within(
        &self,
        user: Option<&UserId>,
        scope: &Scope,
        from: Option<Uuid>,
        limit: usize,
    ) -> Result<Page> {
        let (filter, parts) = match user {
            Some(user) => (filter::memories_of(user, scope), Parts::All),
            None => (filter::all_within(scope), Parts::Payload),
        };
        self.read(move |shared| shared.scroll(filter, from, limit, parts)).await
    }

    async fn page(&self, from: Option<Uuid>, limit: usize) -> Result<Page> {
        self.read(move |shared| shared.scroll(qdrant_edge::Filter::new(), from, limit, Parts::All)).await
    }

    async fn put(&self, points: Vec<Point>) -> Result<()> {
        self.write(Change::Put(points)).await
    }

    async fn without_meaning(&self, from: Option<Uuid>, limit: usize) -> Result<Page> {
        self.read(move |shared| shared.scroll(filter::without_meaning(), from, limit, Parts::Payload)).await
    }

    async fn set_meanings(&self, meanings: Vec<Meaning>) -> Result<()> {
        self.write(Change::SetMeanings(meanings)).await
    }

    async fn totals(&self) -> Result<(usize, usize)> {
        self.read(|shared| {
            Ok((shared.count(filter::every_memory())?, shared.count(filter::without_meaning())?))
        })
        .await
    }

    async fn optimise(&self) -> Result<()> {
        self.write(Change::Optimise).await
    }

    fn log_bytes(&self) -> u64 {
        generation::wal_bytes(&self.shared.path)
    }

    fn failure(&self) -> Option<String> {
        self.shared.failure()
    }

    async fn close(&self) -> Result<()> {
        self.read(|shared| {
            *shared.shard_mut() = None;
            Ok(())
        })
        .await
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Engine(error.to_string()))?
}
