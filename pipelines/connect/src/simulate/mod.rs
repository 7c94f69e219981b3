//! Simulated people: devices that send what people with planted habits would send, and the truth beside it.
//!
//! In: [`Options`]; equal options give equal events, byte for byte. Out: [`Sent`] events, person after person, each
//! person's in the order of sending, and a [`Truth`] that says what was planted and what a platform must find. Memory
//! is bounded by one person. Nothing is sent after `end`: what a device still holds then is not counted.
//!
//! The habits ([`Archetype`]), in turn from the first person on: sugar at night after stressful work, nicotine at
//! stressful hours of work, alcohol at weekends, comfort food in winter, a recovery, and a mix without a pattern.
//! Around them, as real studies tell it: watches measure SDNN every two to five hours and dip around stress; answers
//! come late (median 9 minutes, 90 % within 52, at most 5.6 hours); watches sync hours later and sometimes send a
//! batch again; people correct and take back; and they live in zones from UTC−12 to UTC+14, with and without DST.

mod archetype;
mod body;
mod delivery;
mod diary;
mod dice;
mod habit;
mod person;
mod revise;
mod script;
mod truth;
mod words;
mod zones;

use chrono::{DateTime, Utc};
use crave_schemas::{Event, UserId};

pub use archetype::Archetype;
pub use person::{Person, person};
pub use truth::{Current, Truth, UserTruth};

/// Most people of one run.
const USERS_MAX: u32 = 1_000_000;
/// Longest history, in days: ten years.
const DAYS_MAX: u32 = 3_660;

/// What to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many people, up to 1,000,000.
    pub users: u32,
    /// How many days each, up to 3,660, ending at `end`.
    pub days: u32,
    /// Equal seeds give equal events.
    pub seed: u64,
    /// The simulated now: the last moment at which a device sends.
    pub end: DateTime<Utc>,
}

impl Options {
    fn bounded(self) -> Self {
        Self { users: self.users.min(USERS_MAX), days: self.days.min(DAYS_MAX), ..self }
    }
}

/// An event as a device sends it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// Who.
    pub user_id: UserId,
    /// When the device sends it: never before it happened.
    pub send_time: DateTime<Utc>,
    /// What; its wire form is [`Event::to_json`].
    pub event: Event,
}

/// Simulates people, one after the other.
#[must_use]
pub fn events(options: Options) -> Events {
    let options = options.bounded();
    Events { options, next: 0, ready: Vec::new().into_iter(), truth: Truth::new(&options) }
}

/// The events of a simulation; see [`events`].
#[derive(Debug)]
pub struct Events {
    options: Options,
    next: u32,
    ready: std::vec::IntoIter<Sent>,
    truth: Truth,
}

impl Events {
    /// The truth about the people simulated so far; of all, once the iterator is exhausted.
    #[must_use]
    pub fn truth(&self) -> &Truth {
        &self.truth
    }
}

impl Iterator for Events {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(sent) = self.ready.next() {
                return Some(sent);
            }
            if self.next >= self.options.users {
                return None;
            }
            let person = person(&self.options, self.next);
            self.next += 1;
            self.truth.users.push(person.truth);
            self.ready = person.sent.into_iter();
        }
    }
}

#[cfg(test)]
mod tests;
