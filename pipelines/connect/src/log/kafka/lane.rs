//! A lane: one transactional producer and the changelog partition that only it writes.
//!
//! A transaction runs to its end on a blocking thread that owns the lane, even when its caller has gone.

use std::sync::Arc;

use rdkafka::{
    error::KafkaError,
    producer::{DeliveryFuture, Producer as _},
    types::RDKafkaErrorCode,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    ANSWER_MAX, Shared, blocking,
    change::Change,
    client::{self, Producer},
    is_fenced, to_send, topics,
};
use crate::{
    Error,
    log::{Admission, IdState, Offset, Record, Topic},
};

/// What a transaction makes durable.
pub(super) enum Changes {
    /// A pass of `admit`.
    Admission(Admission),
    /// A streaming job's epoch.
    Epoch {
        /// Job and table.
        writer: String,
        /// Its epoch; one that is not above the last does nothing.
        epoch: u64,
        /// What it appends.
        records: Vec<(Topic, u32, Record)>,
    },
}

enum State {
    /// Take over the transactional id and read the changelog to its end before anything else.
    Closed,
    Open(Producer),
    /// Another process has taken over: this one must not write again.
    Fenced,
}

pub(super) struct Lane {
    shared: Arc<Shared>,
    line: Arc<Line>,
    state: Arc<Mutex<State>>,
}

/// A lane's names.
struct Line {
    id: String,
    changelog: &'static str,
    partition: u32,
}

impl Lane {
    /// The lane of `admit` over a partition.
    pub(super) fn admit(shared: &Arc<Shared>, partition: u32) -> Self {
        Self::new(shared, Line { id: format!("crave-admit-{partition}"), changelog: topics::IDS, partition })
    }

    /// The lane of the streaming jobs' epochs.
    pub(super) fn once(shared: &Arc<Shared>) -> Self {
        Self::new(shared, Line { id: "crave-once".into(), changelog: topics::EPOCHS, partition: 0 })
    }

    fn new(shared: &Arc<Shared>, line: Line) -> Self {
        let state = Arc::new(Mutex::new(State::Closed));
        Self { shared: Arc::clone(shared), line: Arc::new(line), state }
    }

    /// Returns once the index holds all that this lane ever committed: here, or where another process writes.
    pub(super) async fn ready(&self) -> Result<(), Error> {
        match self.shared.writes {
            true => self.run(|shared, line, state| line.open(shared, state).map(drop)).await,
            false => self.run(|shared, line, _| line.catch_up(shared)).await,
        }
    }

    /// Makes `changes` durable, all or nothing.
    pub(super) async fn transact(&self, changes: Changes) -> Result<(), Error> {
        if !self.shared.writes {
            return Err(Error::Follows);
        }
        self.run(move |shared, line, state| {
            let producer = line.open(shared, state)?;
            let done = line.transact(shared, &producer, changes);
            if let Err(error) = &done {
                // Whether it was committed is not known: find out before the next one.
                *state = if fences(&producer, error) { State::Fenced } else { State::Closed };
                tracing::warn!(transactional_id = line.id, cause = ?error, "a transaction failed");
                if matches!(state, State::Fenced) {
                    return Err(line.fenced());
                }
            }
            done
        })
        .await
    }

    async fn run(
        &self,
        work: impl FnOnce(&Shared, &Line, &mut State) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let mut state: OwnedMutexGuard<State> = Arc::clone(&self.state).lock_owned().await;
        let (shared, line) = (Arc::clone(&self.shared), Arc::clone(&self.line));
        blocking(move || work(&shared, &line, &mut state)).await
    }
}

impl Line {
    fn fenced(&self) -> Error {
        Error::Fenced { id: self.id.clone() }
    }

    /// Brings the index up to the end of the changelog.
    fn catch_up(&self, shared: &Shared) -> Result<(), Error> {
        let topic = shared.client.topic(self.changelog);
        let from = shared.index.applied(self.changelog, self.partition)?;
        shared.scan.changes(&topic, self.partition, from, |changes, next| {
            shared.index.apply(self.changelog, self.partition, changes, next)
        })
    }

    fn open(&self, shared: &Shared, state: &mut State) -> Result<Producer, Error> {
        match state {
            State::Open(producer) => return Ok(producer.clone()),
            State::Fenced => return Err(self.fenced()),
            State::Closed => {}
        }
        let producer = shared.client.transactional(&self.id)?;
        if let Err(error) = producer.init_transactions(ANSWER_MAX) {
            return Err(client::doing("taking over the transactional id")(error));
        }
        self.catch_up(shared)?;
        *state = State::Open(producer.clone());
        Ok(producer)
    }

    fn transact(&self, shared: &Shared, producer: &Producer, changes: Changes) -> Result<(), Error> {
        if let Changes::Epoch { writer, epoch, records } = &changes
            && (records.is_empty() || shared.index.epoch(writer)?.is_some_and(|last| last >= *epoch))
        {
            return Ok(());
        }
        let failed = client::doing("a transaction");
        producer.begin_transaction().map_err(failed)?;
        let changes = match changes {
            Changes::Admission(Admission { records, ids, position }) => {
                let sent = send(shared, producer, &records)?;
                // Real offsets are known from the deliveries only, and the changelog must hold real ones.
                producer.flush(ANSWER_MAX).map_err(failed)?;
                let (mut events, mut dead) = (Vec::new(), Vec::new());
                for (delivery, (topic, partition, _)) in sent.into_iter().zip(&records) {
                    let offset = delivered(delivery)?;
                    match topic {
                        Topic::Events if *partition == self.partition => events.push(offset),
                        Topic::Dead if *partition == self.partition => dead.push(offset),
                        _ => {}
                    }
                }
                let mut changes = Vec::with_capacity(ids.len() + 1);
                for (key, mut entry) in ids {
                    if entry.pending {
                        let offsets = if entry.state == IdState::Dead { &dead } else { &events };
                        let at = usize::try_from(entry.offset).ok().and_then(|at| offsets.get(at));
                        entry.offset = *at.ok_or(Error::Closed)?;
                        entry.pending = false;
                    }
                    changes.push(Change::Entry(key, entry));
                }
                if position != shared.index.position(self.partition)? {
                    changes.push(Change::Position(position));
                }
                changes
            }
            Changes::Epoch { writer, epoch, records } => {
                send(shared, producer, &records)?;
                vec![Change::Epoch(writer, epoch)]
            }
        };
        let topic = shared.client.topic(self.changelog);
        let mut last = None;
        for change in &changes {
            let (key, value) = (change.key(), change.value());
            last = Some(send_one(producer, &topic, self.partition, &key, &value)?);
        }
        producer.commit_transaction(ANSWER_MAX).map_err(failed)?;
        let Some(last) = last else { return Ok(()) };
        shared.index.apply(self.changelog, self.partition, changes, delivered(last)? + 1)
    }
}

fn send(
    shared: &Shared,
    producer: &Producer,
    records: &[(Topic, u32, Record)],
) -> Result<Vec<DeliveryFuture>, Error> {
    let names = Topic::ALL.map(|topic| shared.client.topic(topic.as_str()));
    let one = |(topic, partition, record): &(Topic, u32, Record)| {
        send_one(producer, &names[*topic as usize], *partition, record.key.as_bytes(), &record.value)
    };
    records.iter().map(one).collect()
}

fn send_one(
    producer: &Producer,
    topic: &str,
    partition: u32,
    key: &[u8],
    value: &[u8],
) -> Result<DeliveryFuture, Error> {
    let mut record = to_send(topic, partition, key, value);
    loop {
        match producer.send_result(record) {
            Ok(delivery) => return Ok(delivery),
            // A pass is bounded, so the queue empties: wait for it.
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.flush(ANSWER_MAX).map_err(client::doing("a transaction"))?;
            }
            Err((error, _)) => return Err(client::doing("a transaction")(error)),
        }
    }
}

/// The offset of a record; after a flush or a commit its answer is there.
fn delivered(delivery: DeliveryFuture) -> Result<Offset, Error> {
    match futures::executor::block_on(delivery) {
        Ok(Ok(delivered)) => Ok(client::offset(delivered.offset)),
        Ok(Err((error, _))) => Err(client::doing("a transaction")(error)),
        Err(_) => Err(Error::Closed),
    }
}

fn fences(producer: &Producer, error: &Error) -> bool {
    let code = match error {
        Error::Kafka { source: KafkaError::Transaction(error), .. } => Some(error.code()),
        Error::Kafka { source, .. } => source.rdkafka_error_code(),
        _ => None,
    };
    code.is_some_and(is_fenced) || producer.client().fatal_error().is_some_and(|(code, _)| is_fenced(code))
}
