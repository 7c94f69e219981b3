//! The one thread that writes: group commit, offsets, one sync for all that waited.

use std::collections::BTreeMap;

use fjall::{OwnedWriteBatch as WriteBatch, PersistMode};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    super::{Admission, IdState, Offset, Record, Topic},
    Shared, batch, end_key, position_key,
};
use crate::Error;

/// Bytes that one sync may carry: bounds memory and the wait of the first in line.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// Syncs between two looks at the room on disk.
const DISK_CHECK_EVERY: u32 = 64;

pub(super) enum Command {
    Append { topic: Topic, records: Vec<(u32, Record)> },
    AppendOnce { marker: Vec<u8>, epoch: u64, topic: Topic, records: Vec<(u32, Record)> },
    Admit { partition: u32, admission: Admission },
    Trim { topic: Topic, partition: u32, offset: Offset },
}

pub(super) struct Work {
    pub(super) command: Command,
    pub(super) done: oneshot::Sender<Result<(), Error>>,
    pub(super) _room: OwnedSemaphorePermit,
}

/// Serves the queue until it closes.
pub(super) fn run(shared: &Shared, mut queue: mpsc::Receiver<Work>) {
    let (mut full, mut syncs) = (false, 0_u32);
    while let Some(first) = queue.blocking_recv() {
        if syncs.is_multiple_of(DISK_CHECK_EVERY) {
            full = shared.db.disk_space().is_ok_and(|used| used > shared.options.disk_bytes_max);
        }
        syncs = syncs.wrapping_add(1);
        let mut group = Group::new(shared);
        let mut next = Some(first);
        while let Some(work) = next {
            group.add(work, full);
            next = if group.bytes < GROUP_BYTES_MAX { queue.try_recv().ok() } else { None };
        }
        group.commit();
    }
}

/// The log has grown to its bound.
pub(super) fn no_room() -> Error {
    Error::Full { what: "room on disk", retry_after_s: 30 }
}

/// What one sync makes durable.
struct Group<'a> {
    shared: &'a Shared,
    batch: WriteBatch,
    ends: BTreeMap<(usize, u32), Offset>,
    answers: Vec<oneshot::Sender<Result<(), Error>>>,
    bytes: usize,
    _rooms: Vec<OwnedSemaphorePermit>,
}

impl<'a> Group<'a> {
    fn new(shared: &'a Shared) -> Self {
        let batch = shared.db.batch().durability(Some(PersistMode::SyncData));
        Self { shared, batch, ends: BTreeMap::new(), answers: Vec::new(), bytes: 0, _rooms: Vec::new() }
    }

    fn add(&mut self, Work { command, done, _room: room }: Work, full: bool) {
        match command {
            Command::Append { topic: Topic::Inbox, .. } if full => {
                let _ = done.send(Err(no_room()));
                return;
            }
            Command::Append { topic, records } => {
                self.append(records.into_iter().map(|(partition, record)| (topic, partition, record)));
            }
            Command::AppendOnce { marker, epoch, topic, records } => match self.is_new(&marker, epoch) {
                Ok(true) => {
                    self.batch.insert(&self.shared.meta, marker, epoch.to_be_bytes());
                    self.append(records.into_iter().map(|(partition, record)| (topic, partition, record)));
                }
                Ok(false) => {}
                Err(error) => {
                    let _ = done.send(Err(error));
                    return;
                }
            },
            Command::Admit { partition, admission } => self.admit(partition, admission),
            Command::Trim { topic, partition, offset } => {
                if let Err(error) = self.trim(topic, partition, offset) {
                    let _ = done.send(Err(error));
                    return;
                }
            }
        }
        self.answers.push(done);
        self._rooms.push(room);
    }

    /// Whether the writer's last epoch is below this one. Two calls of one writer never overlap.
    fn is_new(&self, marker: &[u8], epoch: u64) -> Result<bool, Error> {
        let last = self.shared.meta.get(marker)?;
        Ok(last
            .and_then(|v| v.as_ref().try_into().ok())
            .map(u64::from_be_bytes)
            .is_none_or(|last| last < epoch))
    }

    fn end(&self, topic: Topic, partition: u32) -> Offset {
        let known = self.ends.get(&(topic as usize, partition)).copied();
        known.unwrap_or_else(|| *self.shared.ends[topic as usize][partition as usize].borrow())
    }

    fn append(&mut self, records: impl Iterator<Item = (Topic, u32, Record)>) {
        let mut split: BTreeMap<(Topic, u32), Vec<Record>> = BTreeMap::new();
        for (topic, partition, record) in records {
            split.entry((topic, partition)).or_default().push(record);
        }
        for ((topic, partition), records) in split {
            let first = self.end(topic, partition);
            let value = batch::encode(records.iter());
            self.bytes += value.len();
            self.batch.insert(&self.shared.topics[topic as usize], batch::key(partition, first), value);
            self.ends.insert((topic as usize, partition), first + records.len() as u64);
        }
    }

    fn admit(&mut self, partition: u32, admission: Admission) {
        let (events, dead) = (self.end(Topic::Events, partition), self.end(Topic::Dead, partition));
        for (key, mut entry) in admission.ids {
            if entry.pending {
                entry.offset += if entry.state == IdState::Dead { dead } else { events };
            }
            self.batch.insert(&self.shared.ids, key.as_bytes(), entry.encode());
        }
        let position = admission.position.to_be_bytes();
        self.batch.insert(&self.shared.meta, position_key(partition), position);
        self.append(admission.records.into_iter());
    }

    fn trim(&mut self, topic: Topic, partition: u32, offset: Offset) -> Result<(), Error> {
        let space = &self.shared.topics[topic as usize];
        let mut previous: Option<Vec<u8>> = None;
        for guard in space.range(batch::key(partition, 0)..=batch::key(partition, offset)) {
            let key = guard.key()?.to_vec();
            if let Some(whole) = previous.replace(key) {
                self.batch.remove(space, whole);
            }
        }
        // The last batch at or below `offset` goes only when all of it does.
        if let Some(last) = previous.filter(|_| offset >= self.end(topic, partition)) {
            self.batch.remove(space, last);
        }
        let end = self.end(topic, partition).to_be_bytes();
        self.batch.insert(&self.shared.meta, end_key(topic, partition), end);
        Ok(())
    }

    fn commit(self) {
        let result = self.batch.commit();
        match result {
            Ok(()) => {
                for ((topic, partition), end) in self.ends {
                    self.shared.ends[topic][partition as usize].send_replace(end);
                }
                for done in self.answers {
                    let _ = done.send(Ok(()));
                }
            }
            Err(error) => {
                tracing::error!(%error, requests = self.answers.len(), "event log write failed");
                for done in self.answers {
                    let _ = done.send(Err(Error::Closed));
                }
            }
        }
    }
}
