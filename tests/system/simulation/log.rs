//! An event log in memory that outlives the node, fails as it is told to, and may lose or keep what was under way.
//!
//! The streaming jobs see the events up to where [`SimLog::show`] has come; so the driver knows when they have read all
//! there is ([`SimLog::quiet`]), and the same seed gives them the same batches.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use crave_connect::{
    Error,
    log::{Admission, EventLog, IdEntry, IdKey, IdState, Offset, Record, Stored, Topic},
};
use tokio::sync::Notify;

use super::faults::{Fails, Faults};
use crate::support::Dice;

#[derive(Debug, Default)]
struct Partition {
    records: Vec<Stored>,
    /// First retained offset, and the one after the last.
    start: Offset,
    end: Offset,
}

#[derive(Debug)]
struct State {
    /// By topic and partition.
    topics: Vec<Vec<Partition>>,
    ids: HashMap<IdKey, IdEntry>,
    positions: Vec<Offset>,
    epochs: BTreeMap<String, u64>,
    gaps: Dice,
    /// By partition: the events below this are shown to the jobs.
    shown: Vec<Offset>,
    /// Readers of events that wait, and what they have seen the end of; and those that were given rows, with where they go on.
    waiting: BTreeMap<u64, (u32, Offset)>,
    busy: Vec<(u32, Offset)>,
    readers: u64,
}

#[derive(Debug)]
pub(super) struct SimLog {
    state: Mutex<State>,
    faults: Arc<Faults>,
    grown: Notify,
}

impl SimLog {
    pub(super) fn new(partitions: u32, seed: u64, faults: Arc<Faults>) -> Self {
        let count = usize::try_from(partitions).unwrap();
        let topic = || (0..count).map(|_| Partition::default()).collect();
        let state = State {
            topics: Topic::ALL.iter().map(|_| topic()).collect(),
            ids: HashMap::new(),
            positions: vec![0; count],
            epochs: BTreeMap::new(),
            gaps: Dice::new(seed),
            shown: vec![0; count],
            waiting: BTreeMap::new(),
            busy: Vec::new(),
            readers: 0,
        };
        Self { state: Mutex::new(state), faults, grown: Notify::new() }
    }

    /// Shows the jobs `part` of 4 of the events that they have not been shown.
    pub(super) fn show(&self, part: u64) {
        let mut state = self.state.lock().unwrap();
        for partition in 0..state.shown.len() {
            let end = state.topics[Topic::Events as usize][partition].end;
            let hidden = end - state.shown[partition];
            state.shown[partition] += hidden * part / 4;
        }
        drop(state);
        self.grown.notify_waiters();
    }

    /// Whether every reader has read what is shown, and waits.
    pub(super) fn quiet(&self) -> bool {
        let state = self.state.lock().unwrap();
        let at_end = |(partition, seen): &(u32, Offset)| *seen >= state.shown[*partition as usize];
        state.busy.is_empty()
            && state.waiting.len() >= state.shown.len()
            && state.waiting.values().all(at_end)
    }

    /// Forgets the readers of a pipeline that was taken down.
    pub(super) fn forget_readers(&self) {
        let mut state = self.state.lock().unwrap();
        state.waiting.clear();
        state.busy.clear();
    }

    /// Every retained record of a topic, by partition.
    pub(super) fn records(&self, topic: Topic) -> Vec<Record> {
        let state = self.state.lock().unwrap();
        let partitions = state.topics[topic as usize].iter();
        partitions.flat_map(|p| p.records.iter().map(|stored| stored.record.clone())).collect()
    }

    /// Takes one durable step, as the faults have it.
    fn step(&self, place: &str, act: impl FnOnce(&mut State)) -> Result<(), Error> {
        let fails = self.faults.pass(place);
        if fails != Some(Fails::Before) {
            act(&mut self.state.lock().unwrap());
            self.grown.notify_waiters();
        }
        if fails.is_some() { Err(Error::Closed) } else { Ok(()) }
    }

    fn look(&self, place: &str) -> Result<(), Error> {
        if self.faults.pass(place).is_some() { Err(Error::Closed) } else { Ok(()) }
    }
}

impl State {
    fn append(&mut self, topic: Topic, records: impl IntoIterator<Item = (u32, Record)>) {
        for (partition, record) in records {
            let gap = u64::from(self.gaps.below(8) == 0);
            let partition = &mut self.topics[topic as usize][partition as usize];
            let offset = partition.end + if partition.records.is_empty() { 0 } else { gap };
            partition.records.push(Stored { offset, record });
            partition.end = offset + 1;
        }
    }
}

/// Takes a reader off the list of those that wait.
struct Waiting<'a>(&'a SimLog, u64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().waiting.remove(&self.1);
    }
}

#[async_trait]
impl EventLog for SimLog {
    fn partitions(&self) -> u32 {
        u32::try_from(self.state.lock().unwrap().shown.len()).unwrap()
    }

    async fn append(&self, topic: Topic, records: Vec<(u32, Record)>) -> Result<(), Error> {
        self.step("log append", |state| state.append(topic, records))
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: Offset,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Stored>, Error> {
        self.look("log read")?;
        let follows = topic == Topic::Events && !wait.is_zero();
        let mut waiting = None;
        loop {
            let grown = self.grown.notified();
            {
                let mut state = self.state.lock().unwrap();
                if follows {
                    state.busy.retain(|busy| *busy != (partition, from));
                }
                let below =
                    if topic == Topic::Events { state.shown[partition as usize] } else { Offset::MAX };
                let (mut out, mut bytes) = (Vec::new(), 0);
                for stored in &state.topics[topic as usize][partition as usize].records {
                    if stored.offset >= from && stored.offset < below && bytes < max_bytes {
                        bytes += stored.record.value.len();
                        out.push(stored.clone());
                    }
                }
                if let Some(last) = out.last() {
                    if follows {
                        state.busy.push((partition, last.offset + 1));
                    }
                    return Ok(out);
                }
                if wait.is_zero() {
                    return Ok(out);
                }
                let reader = waiting.as_ref().map_or(state.readers + 1, |Waiting(_, reader)| *reader);
                state.readers = state.readers.max(reader);
                state.waiting.insert(reader, (partition, below));
                if waiting.is_none() {
                    waiting = Some(Waiting(self, reader));
                }
            }
            grown.await;
        }
    }

    async fn bounds(&self, topic: Topic, partition: u32) -> Result<Range<Offset>, Error> {
        self.look("log bounds")?;
        let state = self.state.lock().unwrap();
        let partition = &state.topics[topic as usize][partition as usize];
        Ok(partition.start..partition.end)
    }

    async fn admit(&self, partition: u32, admission: Admission) -> Result<(), Error> {
        self.step("log admit", |state| {
            let next = |topic: Topic| state.topics[topic as usize][partition as usize].end;
            let (events, dead) = (next(Topic::Events), next(Topic::Dead));
            for (key, mut entry) in admission.ids {
                if std::mem::take(&mut entry.pending) {
                    entry.offset += if entry.state == IdState::Dead { dead } else { events };
                }
                state.ids.insert(key, entry);
            }
            for (topic, to, record) in admission.records {
                state.append(topic, [(to, record)]);
            }
            state.positions[partition as usize] = admission.position;
        })
    }

    async fn append_once(
        &self,
        writer: &str,
        epoch: u64,
        topic: Topic,
        records: Vec<(u32, Record)>,
    ) -> Result<(), Error> {
        self.step("log append once", |state| {
            if state.epochs.get(writer).is_none_or(|last| *last < epoch) {
                state.epochs.insert(writer.to_owned(), epoch);
                state.append(topic, records);
            }
        })
    }

    async fn position(&self, partition: u32) -> Result<Offset, Error> {
        self.look("log position")?;
        Ok(self.state.lock().unwrap().positions[partition as usize])
    }

    fn lookup(&self, keys: &[IdKey]) -> Result<Vec<Option<IdEntry>>, Error> {
        self.look("log lookup")?;
        let state = self.state.lock().unwrap();
        Ok(keys.iter().map(|key| state.ids.get(key).copied()).collect())
    }

    async fn probe(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn trim(&self, topic: Topic, partition: u32, offset: Offset) -> Result<(), Error> {
        self.step("log trim", |state| {
            let partition = &mut state.topics[topic as usize][partition as usize];
            partition.records.retain(|stored| stored.offset >= offset);
            partition.start = partition.records.first().map_or(partition.end, |first| first.offset);
        })
    }
}
