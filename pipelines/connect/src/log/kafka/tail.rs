//! Consumers that follow a partition, kept between reads: a read that goes on where another ended finds
//! its records fetched already.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt as _;
use rdkafka::{
    Message as _, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    error::KafkaResult,
    message::BorrowedMessage,
};

use super::{
    Shared, blocking, client,
    context::{Context, passes},
};
use crate::{
    Error,
    log::{Offset, Record, Stored, Topic},
};

/// Idle consumers of one partition, at most; readers are the streaming jobs and `admit`.
const IDLE_MAX: usize = 16;

/// The idle consumers.
pub(super) struct Tails {
    shared: Arc<Shared>,
    idle: Mutex<HashMap<(Topic, u32), Vec<Tail>>>,
}

struct Tail {
    /// `None` only while it is dropped.
    consumer: Option<StreamConsumer<Context>>,
    next: Offset,
}

impl Drop for Tail {
    fn drop(&mut self) {
        // Closing a consumer waits for its threads: not on a thread that serves others.
        if let Some(consumer) = self.consumer.take() {
            let _ = std::thread::Builder::new().name("tail-close".into()).spawn(move || drop(consumer));
        }
    }
}

impl Tails {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), idle: Mutex::default() }
    }

    /// Reads from `from` on; empty when nothing came within `wait`.
    pub(super) async fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: Offset,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Stored>, Error> {
        let mut tail = match self.take(topic, partition, from) {
            Some(tail) => tail,
            None => {
                let shared = Arc::clone(&self.shared);
                blocking(move || shared.tail(topic, partition, from)).await?
            }
        };
        let read = tail.read(from, max_bytes, wait).await?;
        self.idle().entry((topic, partition)).or_default().push(tail);
        Ok(read)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, HashMap<(Topic, u32), Vec<Tail>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle consumer that stands at `from`; where there are too many others, the oldest ends.
    fn take(&self, topic: Topic, partition: u32, from: Offset) -> Option<Tail> {
        let mut idle = self.idle();
        let of_partition = idle.get_mut(&(topic, partition))?;
        if let Some(at) = of_partition.iter().position(|tail| tail.next == from) {
            return Some(of_partition.remove(at));
        }
        if of_partition.len() >= IDLE_MAX {
            of_partition.remove(0);
        }
        None
    }
}

impl Shared {
    fn tail(&self, topic: Topic, partition: u32, from: Offset) -> Result<Tail, Error> {
        let failed = client::doing("reading");
        let consumer = self.client.tail()?;
        let mut list = TopicPartitionList::new();
        let at = rdkafka::Offset::Offset(client::signed(from));
        let name = self.client.topic(topic.as_str());
        list.add_partition_offset(&name, client::partition(partition), at).map_err(failed)?;
        consumer.assign(&list).map_err(failed)?;
        Ok(Tail { consumer: Some(consumer), next: from })
    }
}

impl Tail {
    async fn read(&mut self, from: Offset, max_bytes: usize, wait: Duration) -> Result<Vec<Stored>, Error> {
        let Some(consumer) = &self.consumer else { return Err(Error::Closed) };
        let first = async {
            loop {
                if let Some(stored) = take(consumer.recv().await, from)? {
                    return Ok::<_, Error>(stored);
                }
            }
        };
        let Ok(first) = tokio::time::timeout(wait, first).await else { return Ok(Vec::new()) };
        let first = first?;
        let mut bytes = first.record.value.len();
        let mut out = vec![first];
        while bytes < max_bytes
            && let Some(received) = consumer.recv().now_or_never()
        {
            let Some(stored) = take(received, from)? else { continue };
            bytes += stored.record.key.len() + stored.record.value.len();
            out.push(stored);
        }
        self.next = out.last().map_or(from, |last| last.offset + 1);
        Ok(out)
    }
}

/// A received record; `None` for one before `from` and for an error that passes by itself.
fn take(received: KafkaResult<BorrowedMessage<'_>>, from: Offset) -> Result<Option<Stored>, Error> {
    match received {
        Ok(message) => {
            let offset = client::offset(message.offset());
            let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
            let value = message.payload().unwrap_or_default().to_vec();
            Ok((offset >= from).then_some(Stored { offset, record: Record { key, value } }))
        }
        Err(error) if passes(&error) => Ok(None),
        Err(error) => Err(client::doing("reading")(error)),
    }
}
