//! People and their devices: what they send, send again, correct and take back; and what they were told.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use crave_connect::{
    Intake, Outcome, Parsed,
    log::{EventLog, IdKey, Record, Topic, partition_of},
};
use crave_schemas::{Event, EventId, UserId};
use serde_json::{Value, json};

use super::log::SimLog;
use crate::support::Dice;

const USERS: [&str; 4] = ["ada", "bob", "eve", "dan"];

/// An event as its device has it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) user: &'static str,
    pub(super) body: Value,
    /// Whether the log said that it is durable.
    pub(super) acknowledged: bool,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) events: BTreeMap<String, Sent>,
    /// Text that is no event, by its mark, and whether it was acknowledged.
    pub(super) garbage: BTreeMap<String, bool>,
    /// Acknowledged events whose id was sent again with another body.
    pub(super) conflicts: BTreeSet<String>,
    /// Ids that will be sent later than what corrects them.
    promised: Vec<(&'static str, String)>,
    users: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let users = 1 + dice.below(4);
        let (events, garbage) = (BTreeMap::new(), BTreeMap::new());
        Self { dice, events, garbage, conflicts: BTreeSet::new(), promised: Vec::new(), users }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.dice.below(of.len() as u64)).unwrap()]
    }

    /// An instant that people and devices would send now: mostly of this minute, often late, now and then from a clock
    /// that is fast.
    fn instant(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        const DAY: i64 = 86_400;
        let back = self.pick(&[0, 0, 0, 0, 600, 3_600, 5 * 3_600, DAY, 3 * DAY, 35 * DAY, -240]);
        now - TimeDelta::seconds(back + i64::try_from(self.dice.below(120)).unwrap())
    }

    fn body(&mut self, kind: &str) -> Value {
        let note = if self.dice.below(3) == 0 { Some("a note") } else { None };
        match kind {
            "mood" => json!({ "valence": 0.25, "note": note }),
            "journal" => json!({ "text": "a day" }),
            "hrv_sdnn_ms" => json!({ "value": 20.0 + f64::from(u8::try_from(self.dice.below(60)).unwrap()) }),
            _ => {
                json!({ "craving": self.pick(&["sugar", "nicotine"]), "intensity": self.dice.below(11), "note": note,
                         "trigger": self.pick(&[None, Some("stress"), Some("work"), Some("party")]),
                         "resisted": self.pick(&[None, Some(true), Some(false)]) })
            }
        }
    }

    /// The next event of somebody.
    fn event(&mut self, user: &'static str, now: DateTime<Utc>) -> (String, Value) {
        let own: Vec<String> =
            self.events.iter().filter(|(_, sent)| sent.user == user).map(|(id, _)| id.clone()).collect();
        let at = |instant: DateTime<Utc>| instant.to_rfc3339_opts(SecondsFormat::Micros, true);
        let promised = self.promised.iter().position(|(whose, _)| *whose == user);
        let (id, kind) = match promised {
            Some(index) if self.dice.below(3) == 0 => (self.promised.remove(index).1, "craving"),
            _ => (
                self.dice.uuid(),
                self.pick(&[
                    "craving",
                    "craving",
                    "craving",
                    "craving",
                    "mood",
                    "journal",
                    "hrv_sdnn_ms",
                    "correct",
                    "retract",
                ]),
            ),
        };
        let time = self.instant(now);
        let payload = match kind {
            "correct" | "retract" => {
                let target = if own.is_empty() || self.dice.below(6) == 0 {
                    let later = self.dice.uuid();
                    self.promised.push((user, later.clone()));
                    later
                } else {
                    let index = self.dice.below(own.len() as u64);
                    own[usize::try_from(index).unwrap()].clone()
                };
                let (revision, moved) = (1 + self.dice.below(3), self.instant(now));
                let body = self.body("craving");
                if kind == "retract" {
                    json!({ "target": target })
                } else {
                    json!({ "target": target, "revision": revision, "kind": "craving", "event_time": at(moved), "body": body })
                }
            }
            kind => self.body(kind),
        };
        let mut event = json!({ "event_id": id, "user_id": user, "source": "watch", "kind": kind,
                                "event_time": at(time), "payload": payload });
        match self.dice.below(5) {
            0 => event["tz_offset_min"] = self.pick(&[-720, 0, 120, 345, 840]).into(),
            1 => event["tz"] = "America/New_York".into(),
            _ => {}
        }
        (id, event)
    }

    /// Somebody sends: new events, some once more, some with another body, some that are none.
    pub(super) async fn send(&mut self, log: &SimLog, now: DateTime<Utc>) {
        let users = self.users;
        let user = USERS[usize::try_from(self.dice.below(users)).unwrap()];
        let mut batch = Vec::new();
        for _ in 0..1 + self.dice.below(6) {
            let (id, body) = self.event(user, now);
            self.events.insert(id.clone(), Sent { user, body: body.clone(), acknowledged: false });
            batch.push((id, body));
        }
        let own: Vec<String> =
            self.events.iter().filter(|(_, sent)| sent.user == user).map(|(id, _)| id.clone()).collect();
        for _ in 0..self.dice.below(4) {
            let id = own[usize::try_from(self.dice.below(own.len() as u64)).unwrap()].clone();
            batch.push((id.clone(), self.events[&id].body.clone()));
        }
        if self.dice.below(3) == 0 {
            self.post(log, user, batch, now).await;
        } else {
            self.produce(log, batch).await;
        }
        match self.dice.below(8) {
            0 => {
                let mark = self.dice.uuid();
                let record =
                    Record { key: user.into(), value: format!("{{\"no event\": \"{mark}\"").into_bytes() };
                let taken = log.append(Topic::Inbox, vec![(0, record)]).await.is_ok();
                self.garbage.insert(mark, taken);
            }
            1 => self.conflict(log, user).await,
            _ => {}
        }
    }

    /// As a device over HTTP: what came before is told apart at the edge.
    async fn post(&mut self, log: &SimLog, user: &str, batch: Vec<(String, Value)>, now: DateTime<Utc>) {
        let caller = UserId::new(user).unwrap();
        let parsed: Vec<_> = batch
            .iter()
            .map(|(_, body)| Parsed::read(body.to_string().as_bytes(), Some(&caller), now).unwrap())
            .collect();
        let keys: Vec<IdKey> = parsed.iter().map(|p| p.key).collect();
        let Ok(known) = log.lookup(&keys) else { return };
        let mut intake =
            Intake::new(keys.into_iter().zip(known).filter_map(|(key, entry)| Some((key, entry?))));
        let mut records = Vec::new();
        for event in parsed {
            match intake.judge(event) {
                Outcome::Accepted(record) => {
                    records.push((partition_of(&record.key, log.partitions()), record));
                }
                Outcome::Duplicate => {}
                Outcome::Refused(refusal) => panic!("{refusal:?}"),
            }
        }
        if records.is_empty() || log.append(Topic::Inbox, records).await.is_ok() {
            self.acknowledge(batch);
        }
    }

    /// As a producer over Kafka, which may choose the wrong partition.
    async fn produce(&mut self, log: &SimLog, batch: Vec<(String, Value)>) {
        let partitions = log.partitions();
        let wrong = self.dice.below(4) == 0;
        let records = batch.iter().map(|(_, body)| {
            let user = body["user_id"].as_str().unwrap();
            let right = partition_of(user, partitions);
            let partition = if wrong { (right + 1) % partitions } else { right };
            (partition, Record { key: user.into(), value: body.to_string().into_bytes() })
        });
        if log.append(Topic::Inbox, records.collect()).await.is_ok() {
            self.acknowledge(batch);
        }
    }

    fn acknowledge(&mut self, batch: Vec<(String, Value)>) {
        for (id, _) in batch {
            self.events.get_mut(&id).unwrap().acknowledged = true;
        }
    }

    /// An id that was admitted comes again with another body: the first one counts.
    async fn conflict(&mut self, log: &SimLog, user: &str) {
        let known = self
            .events
            .iter()
            .find(|(id, sent)| sent.user == user && sent.acknowledged && !self.conflicts.contains(*id));
        let Some((id, mut other)) = known.map(|(id, sent)| (id.clone(), sent.body.clone())) else { return };
        let key = IdKey::new(&UserId::new(user).unwrap(), EventId::parse(&id).unwrap());
        let Ok([Some(_)]) = log.lookup(&[key]).as_deref() else { return };
        other["app_version"] = "another".into();
        let partition = partition_of(user, log.partitions());
        let record = Record { key: user.into(), value: other.to_string().into_bytes() };
        if log.append(Topic::Inbox, vec![(partition, record)]).await.is_ok() {
            self.conflicts.insert(id);
        }
    }

    /// What was not acknowledged is sent again, until it is.
    pub(super) async fn send_again(&mut self, log: &SimLog) {
        let open = self.events.iter().filter(|(_, sent)| !sent.acknowledged);
        let batch: Vec<_> = open.map(|(id, sent)| (id.clone(), sent.body.clone())).collect();
        if !batch.is_empty() {
            self.produce(log, batch).await;
        }
    }
}

/// What the platform makes of an event that it admits.
pub(super) fn canonical(body: &Value, now: DateTime<Utc>) -> Event {
    Event::parse(body.to_string().as_bytes(), None, now).unwrap()
}
