//! Looks at what a partition holds: its ends, its last record, all of a changelog. Blocking.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    Message as _, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::BorrowedMessage,
    types::RDKafkaErrorCode,
};

use super::{
    ANSWER_MAX,
    change::Change,
    client::{self, Client},
    context::{Context, passes},
};
use crate::{Error, log::Offset};

/// How far back the first look for the last record goes; each further look goes eight times as far.
const LOOK_BACK: Offset = 16;
/// Changes applied to the index at once.
const CHANGES_BATCH: usize = 20_000;

/// How often a partition without a leader is asked again.
const LEADER_TRIES: u32 = 50;
const LEADER_PAUSE: Duration = Duration::from_millis(100);

/// One consumer, used in turns.
pub(super) struct Scan(Mutex<BaseConsumer<Context>>);

fn unknown(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}

impl Scan {
    pub(super) fn new(client: &Client) -> Result<Self, Error> {
        Ok(Self(Mutex::new(client.scan()?)))
    }

    /// Cluster and prefix: whose copy the index is.
    pub(super) fn identity(&self, client: &Client) -> Result<String, Error> {
        let cluster = self.consumer().client().fetch_cluster_id(ANSWER_MAX);
        let cluster = cluster.ok_or_else(|| client::no_answer("asking for the cluster's id"))?;
        Ok(format!("{cluster}/{}", client.prefix()))
    }

    fn consumer(&self) -> std::sync::MutexGuard<'_, BaseConsumer<Context>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the first retained offset to below the first that is not yet committed, markers included.
    pub(super) fn retained(&self, topic: &str, partition: u32) -> Result<Range<Offset>, Error> {
        let mut tries = 0;
        loop {
            let ends = self.consumer().fetch_watermarks(topic, client::partition(partition), ANSWER_MAX);
            match ends {
                Ok((low, high)) => return Ok(client::offset(low)..client::offset(high)),
                // A new topic or a new leader, not yet known everywhere.
                Err(error) if tries < LEADER_TRIES && (passes(&error) || unknown(&error)) => {
                    tries += 1;
                    std::thread::sleep(LEADER_PAUSE);
                }
                Err(error) => return Err(client::doing("asking for a partition's ends")(error)),
            }
        }
    }

    /// The offset after the last record; `known` is an earlier pair of end and answer.
    pub(super) fn end_of_records(
        &self,
        topic: &str,
        partition: u32,
        retained: &Range<Offset>,
        known: Option<(Offset, Offset)>,
    ) -> Result<Offset, Error> {
        let (floor, mut answer) = known.unwrap_or((retained.start, retained.start));
        let floor = floor.clamp(retained.start, retained.end);
        let (mut back, mut looked) = (LOOK_BACK, retained.end);
        while looked > floor {
            let from = retained.end.saturating_sub(back).max(floor);
            let mut last = None;
            self.each(topic, partition, from..retained.end, |message| {
                last = Some(client::offset(message.offset()));
                Ok(())
            })?;
            if let Some(last) = last {
                answer = last + 1;
                break;
            }
            (looked, back) = (from, back.saturating_mul(8));
        }
        Ok(answer)
    }

    /// Hands over all changes from `from` on, some at a time with the offset to go on from.
    pub(super) fn changes(
        &self,
        topic: &str,
        partition: u32,
        from: Offset,
        mut apply: impl FnMut(Vec<Change>, Offset) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let retained = self.retained(topic, partition)?;
        if from > retained.end {
            return Err(Error::Recreated { topic: topic.to_owned(), partition });
        }
        let mut changes = Vec::new();
        self.each(topic, partition, from.max(retained.start)..retained.end, |message| {
            let offset = client::offset(message.offset());
            let change =
                Change::decode(message.key().unwrap_or_default(), message.payload().unwrap_or_default());
            let corrupt = || Error::Corrupt { topic: super::topics::IDS, partition, offset };
            changes.push(change.ok_or_else(corrupt)?);
            if changes.len() >= CHANGES_BATCH {
                apply(std::mem::take(&mut changes), offset + 1)?;
            }
            Ok(())
        })?;
        apply(changes, retained.end)
    }

    /// Visits the committed records of a range of offsets.
    fn each(
        &self,
        topic: &str,
        partition: u32,
        range: Range<Offset>,
        mut visit: impl FnMut(&BorrowedMessage<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if range.is_empty() {
            return Ok(());
        }
        let consumer = self.consumer();
        let failed = client::doing("reading");
        let mut list = TopicPartitionList::new();
        let from = rdkafka::Offset::Offset(client::signed(range.start));
        list.add_partition_offset(topic, client::partition(partition), from).map_err(failed)?;
        consumer.assign(&list).map_err(failed)?;
        let visited = loop {
            match consumer.poll(ANSWER_MAX) {
                None => break Err(client::no_answer("reading")),
                Some(Err(KafkaError::PartitionEOF(_))) => break Ok(()),
                Some(Err(error)) if passes(&error) => {}
                Some(Err(error)) => break Err(failed(error)),
                Some(Ok(message)) => {
                    let offset = client::offset(message.offset());
                    if offset >= range.end {
                        break Ok(());
                    }
                    if let Err(error) = visit(&message) {
                        break Err(error);
                    }
                    if offset + 1 == range.end {
                        break Ok(());
                    }
                }
            }
        };
        consumer.unassign().map_err(failed)?;
        visited
    }
}
