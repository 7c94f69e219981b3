//! What was planted and what there is to find, for tests to compare with.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Duration, Timelike as _, Utc};
use crave_schemas::{Craving, Event, EventId, Kind, Payload};
use serde::{Deserialize, Serialize};

use super::{Archetype, Options, Sent};

/// The truth about a simulation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// The seed.
    pub seed: u64,
    /// Days of each person.
    pub days: u32,
    /// The simulated now.
    pub end: DateTime<Utc>,
    /// The people, in order.
    pub users: Vec<UserTruth>,
}

impl Truth {
    pub(super) fn new(options: &Options) -> Self {
        Self { seed: options.seed, days: options.days, end: options.end, users: Vec::new() }
    }
}

/// The truth about one person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserTruth {
    /// Such as `sim-0001-night-sugar`.
    pub user_id: String,
    /// The planted habit.
    pub archetype: Archetype,
    /// What is craved most; `None` when nothing is planted.
    pub craving: Option<String>,
    /// What sets it off most often.
    pub trigger: Option<String>,
    /// Local hours in which most of it happens.
    pub peak_hours: Vec<u8>,
    /// Weekdays (Monday = 1) on which most of it happens; empty when they do not matter.
    pub peak_weekdays: Vec<u8>,
    /// Months in which most of it happens; empty when they do not matter.
    pub peak_months: Vec<u8>,
    /// Whether it falls over time.
    pub falls: bool,
    /// Where the person lives.
    pub zone: String,
    /// Deliveries, copies included.
    pub sent: u64,
    /// Events, each once: `sent - duplicates`.
    pub distinct: u64,
    /// Deliveries of an event that was sent before.
    pub duplicates: u64,
    /// Events that correct another, each once.
    pub corrections: u64,
    /// Events that take another back, each once.
    pub retractions: u64,
    /// Events by kind, each once.
    pub by_kind: BTreeMap<String, u64>,
    /// What holds at the end.
    pub current: Current,
}

/// What holds once corrections and retractions are applied: the highest revision of what was not taken back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Current {
    /// Events by kind, without corrections and retractions themselves.
    pub by_kind: BTreeMap<String, u64>,
    /// Cravings.
    pub cravings: u64,
    /// Cravings by what is craved.
    pub by_craving: BTreeMap<String, u64>,
    /// Cravings by what set them off.
    pub by_trigger: BTreeMap<String, u64>,
    /// Cravings by local hour, 0 to 23.
    pub by_hour: Vec<u64>,
    /// Sum of the intensities of all cravings.
    pub intensity_sum: u64,
    /// Cravings that were resisted.
    pub resisted: u64,
    /// Cravings with a note.
    pub notes: u64,
    /// SDNN samples.
    pub hrv_sdnn: u64,
    /// Their mean, in ms; 0 without samples.
    pub hrv_sdnn_mean_ms: f64,
}

/// The state of one event as corrections leave it.
struct Held {
    kind: Kind,
    at: DateTime<Utc>,
    offset_min: Option<i16>,
    payload: Payload,
    revision: u32,
}

/// Applies corrections and retractions to what was sent; copies of an event count once.
pub(super) fn current(sent: &[Sent]) -> Current {
    let mut held: HashMap<EventId, Held> = HashMap::with_capacity(sent.len());
    let mut taken_back = HashSet::new();
    for event in sent.iter().map(|s| &s.event) {
        match &event.payload {
            Payload::Correct(_) => {}
            Payload::Retract(retract) => {
                taken_back.insert(EventId(retract.target));
            }
            payload => {
                held.entry(event.event_id).or_insert_with(|| Held {
                    kind: event.kind,
                    at: event.event_time,
                    offset_min: event.tz_offset_min,
                    payload: payload.clone(),
                    revision: 0,
                });
            }
        }
    }
    for event in sent.iter().map(|s| &s.event) {
        correct(&mut held, event);
    }
    held.retain(|id, _| !taken_back.contains(id));
    summarise(&held)
}

fn correct(held: &mut HashMap<EventId, Held>, event: &Event) {
    let Payload::Correct(correction) = &event.payload else { return };
    let Some(target) = held.get_mut(&EventId(correction.target)) else { return };
    if correction.revision > target.revision
        && let Ok(payload) = Payload::parse(correction.kind, &correction.body.to_string())
    {
        target.revision = correction.revision;
        target.at = correction.event_time;
        target.offset_min = correction.tz_offset_min;
        target.payload = payload;
    }
}

fn summarise(held: &HashMap<EventId, Held>) -> Current {
    let mut current = Current { by_hour: vec![0; 24], ..Current::default() };
    let mut sdnn = Vec::new();
    for event in held.values() {
        *current.by_kind.entry(event.kind.as_str().into()).or_default() += 1;
        match &event.payload {
            Payload::Craving(craving) => current.add(craving, event),
            Payload::Measure(measure) if event.kind == Kind::HrvSdnnMs => sdnn.push(measure.value),
            _ => {}
        }
    }
    // A map has no order and a sum of floats does: sorted, the mean is the same every time.
    sdnn.sort_by(f64::total_cmp);
    current.hrv_sdnn = sdnn.len() as u64;
    if !sdnn.is_empty() {
        // Nine decimals, which JSON keeps exactly.
        current.hrv_sdnn_mean_ms = (sdnn.iter().sum::<f64>() / sdnn.len() as f64 * 1e9).round() / 1e9;
    }
    current
}

impl Current {
    fn add(&mut self, craving: &Craving, event: &Held) {
        self.cravings += 1;
        self.intensity_sum += u64::from(craving.intensity);
        *self.by_craving.entry(craving.craving.clone()).or_default() += 1;
        if let Some(trigger) = &craving.trigger {
            *self.by_trigger.entry(trigger.clone()).or_default() += 1;
        }
        let local = event.at + Duration::minutes(event.offset_min.unwrap_or_default().into());
        if let Some(hour) = self.by_hour.get_mut(local.hour() as usize) {
            *hour += 1;
        }
        self.resisted += u64::from(craving.resisted == Some(true));
        self.notes += u64::from(craving.note.is_some());
    }
}
