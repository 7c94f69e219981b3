//! The event log on this machine's disk: one `fjall` database, one writer thread, group fsync.
//!
//! Every append goes through a bounded queue to the writer, which takes all that waits, gives out offsets,
//! writes one journal batch, syncs it once (`fdatasync`), and only then answers: many requests share one
//! sync. Keys are `(partition, first offset)`, values whole batches. The id index and the positions of
//! `admit` live in the same database, so a pass of `admit` is one atomic batch.

mod batch;
mod erase;
mod writer;

use std::{
    ops::Range,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use self::erase::ErasedLog;
use self::writer::{Command, Work};
use super::{Admission, EventLog, IdEntry, IdKey, Offset, Record, Stored, Topic};
use crate::Error;

/// Waiting appends, at most; each is one request.
const QUEUE_REQUESTS_MAX: usize = 1_024;
/// Bytes waiting to be written, at most.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// Ids lie in no order, so each look-up walks the whole memory table: it must fit the processor's cache. What was flushed
/// is told apart by a Bloom filter.
const IDS_MEMTABLE_BYTES: u64 = 8 << 20;

/// How the log is kept.
#[derive(Clone, Copy, Debug)]
pub struct LocalOptions {
    /// Partitions of every topic; fixed when the folder is made.
    pub partitions: u32,
    /// Room on disk: appends to the inbox beyond it are refused, what is acknowledged is kept.
    pub disk_bytes_max: u64,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self { partitions: 4, disk_bytes_max: 64 << 30 }
    }
}

/// Next offsets by topic and partition, watched by readers that wait.
type Ends = Vec<Vec<watch::Sender<Offset>>>;

/// The store's key spaces.
struct Spaces {
    db: Database,
    /// By topic.
    topics: Vec<Keyspace>,
    ids: Keyspace,
    meta: Keyspace,
}

impl Spaces {
    fn open(folder: &Path) -> Result<Self, Error> {
        let db = Database::builder(folder).worker_threads(2).open()?;
        let keyspace = |name: &str| db.keyspace(name, KeyspaceCreateOptions::default);
        let topics = Topic::ALL.iter().map(|t| keyspace(t.as_str())).collect::<Result<Vec<_>, _>>()?;
        let ids =
            db.keyspace("ids", || KeyspaceCreateOptions::default().max_memtable_size(IDS_MEMTABLE_BYTES))?;
        let meta = keyspace("meta")?;
        Ok(Self { db, topics, ids, meta })
    }
}

struct Shared {
    db: Database,
    topics: Vec<Keyspace>,
    ids: Keyspace,
    meta: Keyspace,
    ends: Ends,
    options: LocalOptions,
}

/// See the module's head.
pub struct LocalLog {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Work>,
    room: Arc<Semaphore>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl std::fmt::Debug for LocalLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalLog").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl LocalLog {
    /// Opens the log in `folder`, making it when absent, and recovers what was durable.
    ///
    /// # Errors
    /// When the store cannot be opened, or was made with another number of partitions.
    pub fn open(folder: &Path, options: LocalOptions) -> Result<Self, Error> {
        crave_flow::finish_replacing(folder).map_err(fjall::Error::Io)?;
        let Spaces { db, topics, ids, meta } = Spaces::open(folder)?;
        match meta.get("partitions")? {
            Some(found) => {
                let found = found.as_ref().try_into().map_or(0, u32::from_be_bytes);
                if found != options.partitions {
                    return Err(Error::Repartitioned { found, wanted: options.partitions });
                }
            }
            None => meta.insert("partitions", options.partitions.to_be_bytes())?,
        }
        let mut ends = Vec::new();
        for (topic, space) in Topic::ALL.into_iter().zip(&topics) {
            let of_topic: Result<Vec<_>, Error> = (0..options.partitions)
                .map(|partition| Ok(watch::Sender::new(recover_end(topic, space, &meta, partition)?)))
                .collect();
            ends.push(of_topic?);
        }
        let shared = Arc::new(Shared { db, topics, ids, meta, ends, options });
        let (queue, waiting) = mpsc::channel(QUEUE_REQUESTS_MAX);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        let thread = std::thread::Builder::new().name("log-writer".into());
        let writer = thread
            .spawn({
                let shared = Arc::clone(&shared);
                move || writer::run(&shared, waiting)
            })
            .map_err(|e| Error::Store(fjall::Error::Io(e)))?;
        Ok(Self { shared, queue, room, writer: Mutex::new(Some(writer)) })
    }

    /// Bytes on disk, journals included.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        Ok(self.shared.db.disk_space()?)
    }

    /// Bytes and entries of the id index, as flushed to disk so far.
    #[must_use]
    pub fn id_index(&self) -> (u64, usize) {
        (self.shared.ids.disk_space(), self.shared.ids.approximate_len())
    }

    async fn submit(&self, bytes: usize, command: Command) -> Result<(), Error> {
        let permits = u32::try_from(bytes.clamp(1, QUEUE_BYTES_MAX)).unwrap_or(u32::MAX);
        let full = |_| Error::Full { what: "writes waiting", retry_after_s: 1 };
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits).map_err(full)?;
        let (done, answer) = oneshot::channel();
        self.queue.try_send(Work { command, done, _room: room }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Error::Full { what: "requests waiting", retry_after_s: 1 },
            mpsc::error::TrySendError::Closed(_) => Error::Closed,
        })?;
        answer.await.map_err(|_| Error::Closed)?
    }

    fn check(&self, partition: u32) -> Result<(), Error> {
        let partitions = self.shared.options.partitions;
        if partition < partitions { Ok(()) } else { Err(Error::Partition { partition, partitions }) }
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        // Closing the queue ends the writer; the database must not be dropped under it.
        let (closed, _) = mpsc::channel(1);
        self.queue = closed;
        if let Some(writer) = self.writer.lock().ok().and_then(|mut w| w.take()) {
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl EventLog for LocalLog {
    fn partitions(&self) -> u32 {
        self.shared.options.partitions
    }

    async fn append(&self, topic: Topic, records: Vec<(u32, Record)>) -> Result<(), Error> {
        records.iter().try_for_each(|(p, _)| self.check(*p))?;
        let bytes = records.iter().map(|(_, r)| r.key.len() + r.value.len()).sum();
        self.submit(bytes, Command::Append { topic, records }).await
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: Offset,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Stored>, Error> {
        self.check(partition)?;
        let mut end = self.shared.ends[topic as usize][partition as usize].subscribe();
        let mut from = from;
        loop {
            let seen = *end.borrow_and_update();
            if seen <= from {
                let grown = tokio::time::timeout(wait, end.wait_for(|&end| end > from)).await;
                if !matches!(grown, Ok(Ok(_))) {
                    return Ok(Vec::new());
                }
                continue;
            }
            let (shared, start) = (Arc::clone(&self.shared), from);
            let read = blocking(move || shared.read(topic, partition, start, max_bytes)).await?;
            if !read.is_empty() {
                return Ok(read);
            }
            // All up to there was erased: wait for what comes behind it.
            from = seen;
        }
    }

    async fn bounds(&self, topic: Topic, partition: u32) -> Result<Range<Offset>, Error> {
        self.check(partition)?;
        let end = *self.shared.ends[topic as usize][partition as usize].borrow();
        let first = self.shared.topics[topic as usize].prefix(partition.to_be_bytes()).next();
        let start = first.map(|g| g.key()).transpose()?.and_then(|k| batch::offset_of(&k)).unwrap_or(end);
        Ok(start..end)
    }

    async fn admit(&self, partition: u32, admission: Admission) -> Result<(), Error> {
        self.check(partition)?;
        let bytes = admission.records.iter().map(|(_, _, r)| r.key.len() + r.value.len()).sum();
        self.submit(bytes, Command::Admit { partition, admission }).await
    }

    async fn append_once(
        &self,
        writer: &str,
        epoch: u64,
        topic: Topic,
        records: Vec<(u32, Record)>,
    ) -> Result<(), Error> {
        records.iter().try_for_each(|(p, _)| self.check(*p))?;
        let bytes = records.iter().map(|(_, r)| r.key.len() + r.value.len()).sum();
        let marker = [b"writer/", writer.as_bytes()].concat();
        self.submit(bytes, Command::AppendOnce { marker, epoch, topic, records }).await
    }

    async fn position(&self, partition: u32) -> Result<Offset, Error> {
        let stored = self.shared.meta.get(position_key(partition))?;
        Ok(stored.and_then(|v| v.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    fn lookup(&self, keys: &[IdKey]) -> Result<Vec<Option<IdEntry>>, Error> {
        let get = |key: &IdKey| Ok(self.shared.ids.get(key.as_bytes())?.and_then(|v| IdEntry::decode(&v)));
        keys.iter().map(get).collect()
    }

    async fn probe(&self) -> Result<(), Error> {
        if self.disk_bytes()? > self.shared.options.disk_bytes_max {
            return Err(writer::no_room());
        }
        // Removes nothing, and is written and synced as an append would be.
        self.trim(Topic::Inbox, 0, 0).await
    }

    async fn trim(&self, topic: Topic, partition: u32, offset: Offset) -> Result<(), Error> {
        self.check(partition)?;
        self.submit(1, Command::Trim { topic, partition, offset }).await
    }
}

impl Shared {
    fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Vec<Stored>, Error> {
        let space = &self.topics[topic as usize];
        let low = batch::key(partition, 0);
        // The batch that holds `from` may begin before it.
        let holding = space.range(low..=batch::key(partition, from)).next_back();
        let start = match holding {
            Some(guard) => guard.key()?.to_vec(),
            None => low.to_vec(),
        };
        let (mut out, mut bytes) = (Vec::new(), 0);
        for guard in space.range(start..batch::key(partition + 1, 0).to_vec()) {
            let (key, value) = guard.into_inner()?;
            let first = batch::offset_of(&key).unwrap_or_default();
            let corrupt = || Error::Corrupt { topic: topic.as_str(), partition, offset: first };
            let records = batch::decode(&value).ok_or_else(corrupt)?;
            bytes += value.len();
            let stored = (first..).zip(records).map(|(offset, record)| Stored { offset, record });
            out.extend(stored.filter(|stored| stored.offset >= from && !erase::is_erased(&stored.record)));
            if bytes >= max_bytes && !out.is_empty() {
                break;
            }
        }
        Ok(out)
    }
}

fn position_key(partition: u32) -> Vec<u8> {
    [b"admit/".as_slice(), &partition.to_be_bytes()].concat()
}

fn end_key(topic: Topic, partition: u32) -> Vec<u8> {
    [b"end/", topic.as_str().as_bytes(), &partition.to_be_bytes()].concat()
}

/// The offset after the last batch; after a trim of everything, what the trim left in `meta`.
fn recover_end(topic: Topic, space: &Keyspace, meta: &Keyspace, partition: u32) -> Result<Offset, Error> {
    if let Some(guard) = space.prefix(partition.to_be_bytes()).next_back() {
        let (key, value) = guard.into_inner()?;
        let first = batch::offset_of(&key).unwrap_or_default();
        let corrupt = || Error::Corrupt { topic: topic.as_str(), partition, offset: first };
        let count = batch::decode(&value).ok_or_else(corrupt)?.len();
        return Ok(first + count as u64);
    }
    let stored = meta.get(end_key(topic, partition))?;
    Ok(stored.and_then(|v| v.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Closed))
}

#[cfg(test)]
mod tests {
    use super::{super::conformance, *};

    fn open(folder: &Path) -> LocalLog {
        LocalLog::open(folder, LocalOptions { partitions: 2, ..LocalOptions::default() }).unwrap()
    }

    #[tokio::test]
    async fn conforms() {
        let folder = tempfile::tempdir().unwrap();
        conformance::suite(open(folder.path()), async |log| {
            drop(log);
            open(folder.path())
        })
        .await;
    }

    #[tokio::test]
    async fn the_number_of_partitions_is_fixed() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));
        let other = LocalLog::open(folder.path(), LocalOptions { partitions: 3, ..LocalOptions::default() });
        assert!(matches!(other, Err(Error::Repartitioned { found: 2, wanted: 3 })));
    }

    #[tokio::test]
    async fn a_full_disk_refuses_new_events_and_keeps_admitting() {
        let folder = tempfile::tempdir().unwrap();
        let log = LocalLog::open(folder.path(), LocalOptions { partitions: 1, disk_bytes_max: 1 }).unwrap();
        let record = Record { key: "a".into(), value: b"x".to_vec() };
        let refused = log.append(Topic::Inbox, vec![(0, record.clone())]).await;
        assert!(matches!(refused, Err(Error::Full { .. })));
        assert!(matches!(log.probe().await, Err(Error::Full { .. })));
        let records = vec![(Topic::Events, 0, record)];
        log.admit(0, Admission { records, ids: Vec::new(), position: 1 }).await.unwrap();
    }
}
