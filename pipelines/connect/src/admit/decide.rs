//! What each inbox record is: pure. The caller reads the log and the id index, and acts.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use crave_schemas::{Admitted, BodyHash, Event, EventId, Payload, Refusal, UserId};

use super::{dead::DeadLetter, to_json};
use crate::intake;
use crate::log::{Admission, IdEntry, IdKey, IdState, Offset, Record, Stored, Topic, partition_of};

/// What a pass did, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Admitted events.
    pub admitted: u64,
    /// Sent again with the same body.
    pub duplicate: u64,
    /// Refused with a reason.
    pub dead: u64,
    /// Sent to a partition that is not their user's, and passed on to the right one.
    pub forwarded: u64,
}

impl Counts {
    pub(super) fn record(self) {
        for (outcome, n) in [
            ("admitted", self.admitted),
            ("duplicate", self.duplicate),
            ("dead", self.dead),
            ("forwarded", self.forwarded),
        ] {
            metrics::counter!("crave_admit_events_total", "outcome" => outcome).increment(n);
        }
    }
}

enum Parsed {
    Event { key: IdKey, target: Option<IdKey>, body: BodyHash, event: Box<Event>, raw: Record },
    Elsewhere { partition: u32, raw: Record },
    Refused { key: Option<IdKey>, raw: Record, refusal: Refusal },
}

/// A pass's records, parsed.
pub(super) struct Read {
    partition: u32,
    position: Offset,
    parsed: Vec<Parsed>,
}

/// Parses the records of one pass.
pub(super) fn read(records: Vec<Stored>, partition: u32, partitions: u32, now: DateTime<Utc>) -> Read {
    let position = records.last().map_or(0, |last| last.offset + 1);
    let parse = |Stored { record: raw, .. }: Stored| match Event::parse(&raw.value, None, now) {
        Err(refusal) => Parsed::Refused { key: key_of(&raw.value), raw, refusal },
        Ok(event) => {
            let owner = partition_of(event.user_id.as_str(), partitions);
            if owner != partition {
                let raw = Record { key: event.user_id.to_string(), value: raw.value };
                return Parsed::Elsewhere { partition: owner, raw };
            }
            let target = match &event.payload {
                Payload::Retract(retract) => Some(IdKey::new(&event.user_id, EventId(retract.target))),
                _ => None,
            };
            let key = IdKey::new(&event.user_id, event.event_id);
            Parsed::Event { key, target, body: event.body_hash(), event: Box::new(event), raw }
        }
    };
    Read { partition, position, parsed: records.into_iter().map(parse).collect() }
}

/// The key of a record that is no valid event, where its ids can be read all the same.
fn key_of(raw: &[u8]) -> Option<IdKey> {
    let (user, event) = super::dead::ids_of(raw);
    Some(IdKey::new(&UserId::new(user?).ok()?, EventId::parse(&event?).ok()?))
}

impl Read {
    /// The ids to look up, in the order that [`Read::decide`] expects the answers.
    pub(super) fn keys(&self) -> Vec<IdKey> {
        let of = |p: &Parsed| match p {
            Parsed::Event { key, target, .. } => std::iter::once(*key).chain(*target).collect(),
            Parsed::Refused { key, .. } => key.iter().copied().collect(),
            Parsed::Elsewhere { .. } => Vec::new(),
        };
        self.parsed.iter().flat_map(of).collect()
    }

    /// Decides with what the index knows of [`Read::keys`].
    pub(super) fn decide(self, known: &[Option<IdEntry>], now: DateTime<Utc>) -> (Admission, Counts) {
        let keys = self.keys();
        let index = keys.into_iter().zip(known).filter_map(|(key, entry)| entry.map(|e| (key, e))).collect();
        let partition = self.partition;
        let mut pass = Pass {
            partition,
            now,
            index,
            out: Admission::default(),
            changed: HashSet::new(),
            events: 0,
            dead: 0,
            counts: Counts::default(),
        };
        pass.out.position = self.position;
        for parsed in self.parsed {
            match parsed {
                Parsed::Refused { key, raw, refusal } => pass.bury(key, raw, refusal),
                Parsed::Elsewhere { partition, raw } => {
                    pass.counts.forwarded += 1;
                    pass.out.records.push((Topic::Inbox, partition, raw));
                }
                Parsed::Event { key, target, body, event, raw } => pass.take(key, target, body, &event, raw),
            }
        }
        let Pass { mut out, changed, index, counts, .. } = pass;
        out.ids = changed.into_iter().filter_map(|key| index.get(&key).map(|entry| (key, *entry))).collect();
        (out, counts)
    }
}

/// The pass under way: the index as it will be, and what is to be written.
struct Pass {
    partition: u32,
    now: DateTime<Utc>,
    index: HashMap<IdKey, IdEntry>,
    out: Admission,
    changed: HashSet<IdKey>,
    events: Offset,
    dead: Offset,
    counts: Counts,
}

impl Pass {
    fn take(&mut self, key: IdKey, target: Option<IdKey>, body: BodyHash, event: &Event, raw: Record) {
        match self.index.get(&key) {
            Some(IdEntry { state: IdState::Erased, .. }) => {
                // The person asked for erasure: keep the reason, not the bytes.
                let raw = Record { key: raw.key, value: Vec::new() };
                return self.bury(Some(key), raw, intake::erased());
            }
            Some(entry) if entry.state != IdState::Dead && entry.body == body => {
                self.counts.duplicate += 1;
                return;
            }
            Some(entry) if entry.state != IdState::Dead => {
                return self.bury(Some(key), raw, intake::conflict());
            }
            _ => {}
        }
        let entry = IdEntry {
            state: IdState::Admitted,
            body,
            offset: self.events,
            event_time_us: event.event_time.timestamp_micros(),
            pending: true,
        };
        self.set(key, entry);
        let admitted = |key: &IdKey| self.index.get(key).filter(|e| e.state == IdState::Admitted).copied();
        if let Some((target, entry)) = target.and_then(|key| Some((key, admitted(&key)?))) {
            self.set(target, IdEntry { state: IdState::Retracted, ..entry });
        }
        let record =
            Record { key: event.user_id.to_string(), value: to_json(&Admitted::new(event, self.now)) };
        self.out.records.push((Topic::Events, self.partition, record));
        self.events += 1;
        self.counts.admitted += 1;
    }

    fn bury(&mut self, key: Option<IdKey>, raw: Record, refusal: Refusal) {
        if let Some(key) = key.filter(|key| !self.index.contains_key(key)) {
            let state = IdState::Dead;
            self.set(
                key,
                IdEntry { state, body: [0; 16], offset: self.dead, event_time_us: 0, pending: true },
            );
        }
        let letter = DeadLetter::new(raw.value, refusal, self.now);
        let record = Record { key: raw.key, value: to_json(&letter) };
        self.out.records.push((Topic::Dead, self.partition, record));
        self.dead += 1;
        self.counts.dead += 1;
    }

    fn set(&mut self, key: IdKey, entry: IdEntry) {
        self.index.insert(key, entry);
        self.changed.insert(key);
    }
}

#[cfg(test)]
mod tests;
