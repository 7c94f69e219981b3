//! The event log: ordered, partitioned by user, durable before it is acknowledged.
//!
//! [`EventLog`] is what the platform needs of a log; [`LocalLog`] keeps it on this machine's disk,
//! [`KafkaLog`] in Apache Kafka. Offsets grow within a partition but may have gaps, as they do in Kafka.

#[cfg(test)]
pub(crate) mod conformance;
mod ids;
mod kafka;
mod local;
mod partition;

use std::{ops::Range, time::Duration};

use async_trait::async_trait;
pub use ids::{IdEntry, IdKey, IdState};
pub use kafka::{KafkaLog, KafkaOptions};
pub use local::{ErasedLog, LocalLog, LocalOptions};
pub use partition::partition_of;

use crate::Error;

/// A stream of records. The name is the Kafka topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Whatever was sent, duplicates allowed.
    Inbox,
    /// Each admitted event once, and heartbeats.
    Events,
    /// What was refused after it was acknowledged, with the reason.
    Dead,
    /// Text to remember, from the streaming jobs.
    Memories,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 4] = [Self::Inbox, Self::Events, Self::Dead, Self::Memories];

    /// The topic's name in Kafka and in SQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "crave.inbox.v1",
            Self::Events => "crave.events.v1",
            Self::Dead => "crave.events.dead.v1",
            Self::Memories => "crave.memories.v1",
        }
    }

    /// The topic of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == name)
    }
}

/// A position in a partition.
pub type Offset = u64;

/// A record to append: `key` is the user id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Partitioning key; empty for heartbeats.
    pub key: String,
    /// The bytes, as they came.
    pub value: Vec<u8>,
}

/// A record as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its position; the next to read is at least one more.
    pub offset: Offset,
    /// The record.
    pub record: Record,
}

/// What one pass of `admit` makes durable, all or nothing.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Records by topic and partition.
    pub records: Vec<(Topic, u32, Record)>,
    /// Id index entries; an entry's offset is relative to this pass where [`IdEntry::pending`] says so.
    pub ids: Vec<(IdKey, IdEntry)>,
    /// The inbox offset to go on from.
    pub position: Offset,
}

/// A durable log with the id index of `admit` beside it.
#[async_trait]
pub trait EventLog: Send + Sync + std::fmt::Debug {
    /// Partitions of every topic; fixed for the life of a log.
    fn partitions(&self) -> u32;

    /// Appends and returns once the records are durable.
    ///
    /// # Errors
    /// [`Error::Full`] without having written anything, or what the store says.
    async fn append(&self, topic: Topic, records: Vec<(u32, Record)>) -> Result<(), Error>;

    /// Reads from `from` on, at most `max_bytes` (but at least one batch); waits up to `wait` for a first
    /// record and returns an empty list when none came.
    ///
    /// # Errors
    /// What the store says.
    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: Offset,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Stored>, Error>;

    /// The first retained offset and the one after the last.
    ///
    /// # Errors
    /// What the store says.
    async fn bounds(&self, topic: Topic, partition: u32) -> Result<Range<Offset>, Error>;

    /// Makes one pass of `admit` over `partition` durable.
    ///
    /// # Errors
    /// As [`EventLog::append`]; on an error nothing of the pass is visible.
    async fn admit(&self, partition: u32, admission: Admission) -> Result<(), Error>;

    /// Appends the records of a streaming job's epoch once: a second call with an epoch that is not above
    /// the writer's last does nothing. `writer` names job and table.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    async fn append_once(
        &self,
        writer: &str,
        epoch: u64,
        topic: Topic,
        records: Vec<(u32, Record)>,
    ) -> Result<(), Error>;

    /// Where `admit` goes on in the inbox of `partition`.
    ///
    /// # Errors
    /// What the store says.
    async fn position(&self, partition: u32) -> Result<Offset, Error>;

    /// Looks ids up; blocking work of a few microseconds each.
    ///
    /// # Errors
    /// What the store says.
    fn lookup(&self, keys: &[IdKey]) -> Result<Vec<Option<IdEntry>>, Error>;

    /// Whether an append to the inbox would be taken now.
    ///
    /// # Errors
    /// Why not.
    async fn probe(&self) -> Result<(), Error>;

    /// Forgets records below `offset` (rounded down to whole batches).
    ///
    /// # Errors
    /// What the store says.
    async fn trim(&self, topic: Topic, partition: u32, offset: Offset) -> Result<(), Error>;
}
