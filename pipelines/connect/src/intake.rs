//! The edge's first look at events, shared by HTTP and importers: what is new, what came before, what is
//! refused. Pure. `admit` decides again behind the log; this only tells the sender early.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use crave_schemas::{BodyHash, Code, Event, Refusal, UserId, body_hash};

use crate::{
    Error,
    log::{EventLog, IdEntry, IdKey, IdState, Record, Topic, partition_of},
};

/// An event that parsed, with what the index knows it by.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// Its key in the id index.
    pub key: IdKey,
    /// Its id as text.
    pub event_id: String,
    user_id: UserId,
    body: BodyHash,
    json: String,
}

impl Parsed {
    /// Reads and checks one event; see [`Event::parse`].
    ///
    /// # Errors
    /// The first fault.
    pub fn read(json: &[u8], caller: Option<&UserId>, now: DateTime<Utc>) -> Result<Self, Refusal> {
        Ok(Self::new(&Event::parse(json, caller, now)?))
    }

    /// A valid event.
    #[must_use]
    pub fn new(event: &Event) -> Self {
        let (key, json) = (IdKey::new(&event.user_id, event.event_id), event.to_json());
        let body = body_hash(&json);
        Self { key, event_id: event.event_id.to_string(), user_id: event.user_id.clone(), body, json }
    }
}

/// What an event is to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// New: append it to the inbox.
    Accepted(Record),
    /// Sent before with the same body.
    Duplicate,
    /// Not taken.
    Refused(Refusal),
}

/// Tells apart events in the order sent, within one sending and against the id index.
#[derive(Debug, Default)]
pub struct Intake {
    seen: HashMap<IdKey, (BodyHash, IdState)>,
}

impl Intake {
    /// Starts from what the index knows of the keys about to be judged; `Dead` ids may come again.
    #[must_use]
    pub fn new(known: impl IntoIterator<Item = (IdKey, IdEntry)>) -> Self {
        let alive = known.into_iter().filter(|(_, entry)| entry.state != IdState::Dead);
        Self { seen: alive.map(|(key, entry)| (key, (entry.body, entry.state))).collect() }
    }

    /// Judges the next event.
    pub fn judge(&mut self, event: Parsed) -> Outcome {
        match self.seen.get(&event.key) {
            Some((_, IdState::Erased)) => Outcome::Refused(erased()),
            Some((before, _)) if *before == event.body => Outcome::Duplicate,
            Some(_) => Outcome::Refused(conflict()),
            None => {
                self.seen.insert(event.key, (event.body, IdState::Admitted));
                Outcome::Accepted(Record { key: event.user_id.into(), value: event.json.into_bytes() })
            }
        }
    }
}

/// What became of an event that was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It is durable, or was before.
    Durable,
    /// It was not taken.
    Refused(Refusal),
}

/// Puts one event into the inbox, unless it is there or admitted already.
///
/// # Errors
/// When the log cannot take it at present.
pub async fn submit(log: &dyn EventLog, event: &Event) -> Result<Submitted, Error> {
    let parsed = Parsed::new(event);
    let key = parsed.key;
    let known = log.lookup(&[key])?.into_iter().next().flatten();
    match Intake::new(known.map(|entry| (key, entry))).judge(parsed) {
        Outcome::Accepted(record) => {
            let partition = partition_of(event.user_id.as_str(), log.partitions());
            log.append(Topic::Inbox, vec![(partition, record)]).await?;
            Ok(Submitted::Durable)
        }
        Outcome::Duplicate => Ok(Submitted::Durable),
        Outcome::Refused(refusal) => Ok(Submitted::Refused(refusal)),
    }
}

/// The same id with another body.
pub(crate) fn conflict() -> Refusal {
    let reason = "came before with another body; send a `correct` event to change it";
    Refusal::new(Code::Conflict, "event_id", reason)
}

/// An id of erased data.
pub(crate) fn erased() -> Refusal {
    Refusal::new(Code::Erased, "event_id", "belongs to erased data; it is not taken again")
}
