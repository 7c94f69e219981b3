//! The store: one `qdrant-edge` shard with meaning and words, behind one writer thread.
//!
//! What the engine leaves to its user (read in its 0.7.2 source) is done here:
//!
//! - its write-ahead log is never replayed and never cut: an upsert counts only after a flush, so [`writer`] flushes
//!   each group of commands before it answers, and [`generation`] trims the log whenever a shard is opened;
//! - `flush` panics while an update holds a lock: one thread does both;
//! - its calls block: reads run on blocking threads, writes on the writer's;
//! - a deleted text stays in the log and in free pages: [`writer`] rebuilds the shard into a new generation folder.
//!
//! RC-2: every read and delete takes the tenant; the filter that keeps tenants apart is built in [`filter`] alone.

mod codec;
mod filter;
mod generation;
mod read;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use crave_schemas::UserId;
use tokio::sync::mpsc;

pub(crate) use codec::Prepared;
pub(crate) use filter::Scope;
pub(crate) use read::{Found, Wanted};
pub(crate) use writer::Command;

use crate::lexical::{Lexical, WordStats};
use crate::{Error, Result};
use generation::Generation;

/// Commands waiting for the writer; a full queue makes the sender wait.
const QUEUE_COMMANDS_MAX: usize = 64;
/// The engine's log is trimmed (by closing and opening the shard) when it is larger.
const WAL_BYTES_MAX: u64 = 128 << 20;
/// People whose word counts are kept in memory.
const WORD_STATS_USERS_MAX: usize = 1024;

/// What readers and the writer share.
pub(crate) struct Shared {
    dir: PathBuf,
    live: RwLock<Generation>,
    pub(crate) lexical: Lexical,
    wal_bytes_max: u64,
    failed: Mutex<Option<String>>,
    scrub_due: AtomicBool,
    /// Rises with each group of writes, so that word counts taken before it are not kept after it.
    writes: AtomicU64,
    words: Mutex<HashMap<UserId, Arc<WordStats>>>,
    /// Here and not in [`Store`], so that it is held as long as anybody still reads.
    _lock: File,
}

/// The open store. Dropping it waits for the writer to finish what it was given.
pub(crate) struct Store {
    pub(crate) shared: Arc<Shared>,
    commands: Option<mpsc::Sender<Command>>,
    writer: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens or creates the store in `dir`. Blocks.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, WAL_BYTES_MAX)
    }

    fn open_with(dir: &Path, wal_bytes_max: u64) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|error| Error::io("create", dir, error))?;
        let lock = lock(dir)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            live: RwLock::new(generation::open_current(dir)?),
            lexical: Lexical::new()?,
            wal_bytes_max,
            failed: Mutex::new(None),
            scrub_due: AtomicBool::new(false),
            writes: AtomicU64::new(0),
            words: Mutex::new(HashMap::new()),
            _lock: lock,
        });
        let (commands, inbox) = mpsc::channel(QUEUE_COMMANDS_MAX);
        let writer = std::thread::Builder::new()
            .name("recall-writer".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || writer::run(&shared, inbox)
            })
            .map_err(|error| Error::io("start a thread for", dir, error))?;
        Ok(Self { shared, commands: Some(commands), writer: Some(writer) })
    }

    /// Where the writer takes its commands.
    pub(crate) fn commands(&self) -> Result<&mpsc::Sender<Command>> {
        self.commands.as_ref().ok_or(Error::Closed)
    }
}

impl Drop for Store {
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
    fn live(&self) -> RwLockReadGuard<'_, Generation> {
        self.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn live_mut(&self) -> RwLockWriteGuard<'_, Generation> {
        self.live.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn words(&self) -> MutexGuard<'_, HashMap<UserId, Arc<WordStats>>> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the word counts of a person whose memories changed.
    fn forget_words(&self, user: &UserId) {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.words().remove(user);
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, why: &str) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert_with(|| why.to_owned());
    }

    /// The generation in use and the bytes of its log.
    pub(crate) fn disk(&self) -> (u64, u64) {
        let live = self.live();
        (live.number, generation::wal_bytes(&live.path))
    }

    pub(crate) fn scrub_due(&self) -> bool {
        self.scrub_due.load(Ordering::SeqCst)
    }
}

/// One process at a time: opening clears unfinished generations, which another process might be writing.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(".lock");
    let file = File::create(&path).map_err(|error| Error::io("create", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::InUse { path: dir.to_owned() }),
        Err(std::fs::TryLockError::Error(error)) => Err(Error::io("lock", path, error)),
    }
}
