//! The event log on Apache Kafka.
//!
//! | need | how |
//! |---|---|
//! | `append` | an idempotent producer, `acks=all`, answered when every record is delivered |
//! | `admit` | one transaction a pass, `transactional.id` a partition: events, dead letters, forwarded records, ids, position |
//! | `append_once` | one transaction with the writer's epoch beside the records |
//! | `read` | consumers with manual assignment, `read_committed`, no group: offsets are the caller's |
//! | `lookup` | a local index in `fjall` that follows the compacted changelog `crave.ids.v1` |
//!
//! **The changelog is the truth, the index a copy.** Opening first takes over each `transactional.id`,
//! which aborts or finishes what a killed process left, then reads the changelog to its end, and only then
//! serves. A kill between a transaction's commit and the index's write loses nothing. After any failed
//! transaction a lane (a partition's producer and changelog) does the same again before its next pass, so
//! an unknown outcome becomes a known one. A process whose `transactional.id` was taken over by another
//! gets [`Error::Fenced`] from then on.
//!
//! Offsets have gaps: commit markers take one each. `bounds` ends after the last record, not after the
//! last marker, so that waiting for an end waits for something that comes.
//!
//! The inbox is kept as `lz4` by the broker, whatever its producers send. TLS and SASL: build `rdkafka`
//! with `ssl-vendored` (or `sasl`) and set [`KafkaOptions::client`].

mod change;
mod client;
mod context;
mod index;
mod lane;
mod scan;
mod tail;
#[cfg(test)]
mod tests;
mod topics;

use std::{
    collections::HashMap,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{
    TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    producer::{FutureRecord, Producer as _},
    types::RDKafkaErrorCode,
};
use tokio::sync::Semaphore;

use self::{
    client::{Client, Producer},
    context::Context,
    index::Index,
    lane::{Changes, Lane},
    scan::Scan,
    tail::Tails,
};
use super::{Admission, EventLog, IdEntry, IdKey, Offset, Record, Stored, Topic};
use crate::Error;

/// Bytes that wait for their delivery, at most.
const APPEND_BYTES_MAX: usize = 64 << 20;
/// Longest wait for a broker's answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Where the log is and what it is called.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// `host:port`, comma separated.
    pub brokers: String,
    /// Put before every topic and transactional id: several logs on one cluster.
    pub prefix: String,
    /// Partitions of every topic; fixed when the topics are made.
    pub partitions: u32,
    /// Further librdkafka settings, such as `security.protocol`.
    pub client: Vec<(String, String)>,
    /// Whether this process admits and runs the jobs: one a log. Others append to the inbox, read, and follow the id
    /// changelog, so that they tell duplicates early.
    pub writes: bool,
}

/// How often a process that does not write looks at the changelogs.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// See the module's head.
pub struct KafkaLog {
    shared: Arc<Shared>,
    lanes: Arc<Vec<Lane>>,
    once: Lane,
    tails: Tails,
    appender: Mutex<Producer>,
    room: Arc<Semaphore>,
}

/// What all parts use.
struct Shared {
    /// See [`KafkaOptions::writes`].
    writes: bool,
    client: Client,
    admin: Arc<AdminClient<Context>>,
    partitions: u32,
    index: Index,
    scan: Scan,
    /// By topic and partition: where it ended in the broker's eyes, and the offset after the last record.
    ends: Mutex<HashMap<(Topic, u32), (Offset, Offset)>>,
}

impl std::fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaLog").field("partitions", &self.shared.partitions).finish_non_exhaustive()
    }
}

impl KafkaLog {
    /// Makes absent topics, takes over the transactional ids, and brings the id index in `folder` up to
    /// the end of its changelog.
    ///
    /// # Errors
    /// When no broker answers, the topics have another number of partitions, or the index cannot be kept.
    pub async fn open(folder: &Path, options: KafkaOptions) -> Result<Self, Error> {
        let (partitions, writes) = (options.partitions, options.writes);
        let client = Client::new(options);
        let admin = Arc::new(client.admin()?);
        topics::ensure(&admin, &client, partitions).await?;
        let (folder, appender) = (folder.to_owned(), client.appender()?);
        let shared = blocking(move || {
            let scan = Scan::new(&client)?;
            let index = Index::open(&folder, &scan.identity(&client)?)?;
            Ok(Arc::new(Shared { writes, client, admin, partitions, index, scan, ends: Mutex::default() }))
        })
        .await?;
        let lanes = Arc::new((0..partitions).map(|p| Lane::admit(&shared, p)).collect::<Vec<_>>());
        let once = Lane::once(&shared);
        futures::future::try_join_all(lanes.iter().chain([&once]).map(Lane::ready)).await?;
        if !writes {
            tokio::spawn(follow(Arc::downgrade(&lanes)));
        }
        let room = Arc::new(Semaphore::new(APPEND_BYTES_MAX));
        Ok(Self { tails: Tails::new(&shared), shared, lanes, once, appender: Mutex::new(appender), room })
    }

    /// Bytes and entries of the local id index, as flushed to disk so far.
    #[must_use]
    pub fn id_index(&self) -> (u64, usize) {
        self.shared.index.size()
    }

    fn check(&self, partition: u32) -> Result<(), Error> {
        let partitions = self.shared.partitions;
        if partition < partitions { Ok(()) } else { Err(Error::Partition { partition, partitions }) }
    }

    fn appender(&self) -> std::sync::MutexGuard<'_, Producer> {
        self.appender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A producer with a fatal error sends no more: put a fresh one in its place.
    fn renew_appender(&self, failed: &Producer) -> Result<(), Error> {
        if failed.client().fatal_error().is_some() {
            *self.appender() = self.shared.client.appender()?;
        }
        Ok(())
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    fn partitions(&self) -> u32 {
        self.shared.partitions
    }

    /// As the trait says, but for an error after the broker took some of the records: they stay, and the
    /// sender's next try makes duplicates of them, which `admit` drops.
    async fn append(&self, topic: Topic, records: Vec<(u32, Record)>) -> Result<(), Error> {
        records.iter().try_for_each(|(p, _)| self.check(*p))?;
        let bytes: usize = records.iter().map(|(_, r)| r.key.len() + r.value.len()).sum();
        let permits = u32::try_from(bytes.clamp(1, APPEND_BYTES_MAX)).unwrap_or(u32::MAX);
        let full = |_| Error::Full { what: "writes waiting", retry_after_s: 1 };
        let _room = Arc::clone(&self.room).try_acquire_many_owned(permits).map_err(full)?;
        let name = self.shared.client.topic(topic.as_str());
        let producer = self.appender().clone();
        let mut deliveries = Vec::with_capacity(records.len());
        for (partition, record) in &records {
            let record = to_send(&name, *partition, record.key.as_bytes(), &record.value);
            deliveries.push(producer.send_result(record).map_err(|(error, _)| client::sending(error))?);
        }
        for delivery in deliveries {
            let delivered = delivery.await.map_err(|_| Error::Closed)?;
            if let Err((error, _)) = delivered {
                self.renew_appender(&producer)?;
                return Err(client::sending(error));
            }
        }
        Ok(())
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
        if wait.is_zero() {
            // Without a wait the answer must still be true: ask where the end is, then read up to it.
            let retained = self.bounds(topic, partition).await?;
            if retained.is_empty() || retained.end <= from {
                return Ok(Vec::new());
            }
            let read = self.tails.read(topic, partition, from, max_bytes, ANSWER_MAX).await?;
            return if read.is_empty() { Err(client::no_answer("reading")) } else { Ok(read) };
        }
        self.tails.read(topic, partition, from, max_bytes, wait).await
    }

    async fn bounds(&self, topic: Topic, partition: u32) -> Result<Range<Offset>, Error> {
        self.check(partition)?;
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.bounds(topic, partition)).await
    }

    async fn admit(&self, partition: u32, admission: Admission) -> Result<(), Error> {
        self.check(partition)?;
        admission.records.iter().try_for_each(|(_, p, _)| self.check(*p))?;
        self.lanes[partition as usize].transact(Changes::Admission(admission)).await
    }

    async fn append_once(
        &self,
        writer: &str,
        epoch: u64,
        topic: Topic,
        records: Vec<(u32, Record)>,
    ) -> Result<(), Error> {
        records.iter().try_for_each(|(p, _)| self.check(*p))?;
        let records = records.into_iter().map(|(partition, record)| (topic, partition, record)).collect();
        self.once.transact(Changes::Epoch { writer: writer.to_owned(), epoch, records }).await
    }

    async fn position(&self, partition: u32) -> Result<Offset, Error> {
        self.check(partition)?;
        self.lanes[partition as usize].ready().await?;
        self.shared.index.position(partition)
    }

    fn lookup(&self, keys: &[IdKey]) -> Result<Vec<Option<IdEntry>>, Error> {
        self.shared.index.lookup(keys)
    }

    async fn probe(&self) -> Result<(), Error> {
        self.bounds(Topic::Inbox, 0).await.map(|_| ())
    }

    async fn trim(&self, topic: Topic, partition: u32, offset: Offset) -> Result<(), Error> {
        let retained = self.bounds(topic, partition).await?;
        if offset <= retained.start {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        let until = rdkafka::Offset::Offset(client::signed(offset.min(retained.end)));
        let name = self.shared.client.topic(topic.as_str());
        let failed = client::doing("trimming");
        list.add_partition_offset(&name, client::partition(partition), until).map_err(failed)?;
        let options = AdminOptions::new().request_timeout(Some(ANSWER_MAX));
        let trimmed = self.shared.admin.delete_records(&list, &options).await.map_err(failed)?;
        for element in trimmed.elements() {
            element.error().map_err(failed)?;
        }
        Ok(())
    }
}

/// Keeps the index of a process that does not write near the end of the changelogs, until the log is dropped.
async fn follow(lanes: Weak<Vec<Lane>>) {
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        let Some(lanes) = lanes.upgrade() else { return };
        for lane in lanes.iter() {
            if let Err(error) = lane.ready().await {
                tracing::debug!(%error, "following the id changelog; it is tried again");
            }
        }
    }
}

impl Shared {
    fn bounds(&self, topic: Topic, partition: u32) -> Result<Range<Offset>, Error> {
        let name = self.client.topic(topic.as_str());
        let retained = self.scan.retained(&name, partition)?;
        let ends = || self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let known = ends().get(&(topic, partition)).copied();
        let end = match known {
            Some((seen, end)) if seen == retained.end => end,
            _ => self.scan.end_of_records(&name, partition, &retained, known)?,
        };
        ends().insert((topic, partition), (retained.end, end));
        Ok(retained.start.min(end)..end)
    }
}

fn to_send<'a>(
    topic: &'a str,
    partition: u32,
    key: &'a [u8],
    value: &'a [u8],
) -> FutureRecord<'a, [u8], [u8]> {
    let record = FutureRecord::to(topic).partition(client::partition(partition)).payload(value);
    if key.is_empty() { record } else { record.key(key) }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Closed))
}

/// Whether a broker says that another producer has taken over the transactional id.
fn is_fenced(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch
    )
}
