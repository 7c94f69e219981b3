//! One person: lives day by day, and the devices send what they saw.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Days, Duration, NaiveDate, Utc};
use chrono_tz::Tz;
use crave_schemas::{DeviceId, Event, EventId, Kind, Payload, SCHEMA_VERSION, Source, UserId};

use super::body::Body;
use super::delivery::{self, Channel, Planned};
use super::diary::Diary;
use super::dice::Dice;
use super::habit::{self, Day};
use super::{Archetype, Options, Sent, UserTruth, revise, truth, zones};

/// A simulated person.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// What was planted and what there is to find.
    pub truth: UserTruth,
    /// What the devices send, in the order of sending.
    pub sent: Vec<Sent>,
}

/// Who a person is, and how their devices write events.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) user_id: UserId,
    pub(super) zone: Tz,
    phone: Option<DeviceId>,
    watch: Option<DeviceId>,
}

impl Identity {
    /// An event of a device. The phone knows its zone; the watch knows only the offset.
    pub(super) fn event(
        &self,
        dice: &mut Dice,
        channel: Channel,
        kind: Kind,
        at: DateTime<Utc>,
        payload: Payload,
    ) -> Event {
        let phone = channel == Channel::Phone;
        Event {
            schema_version: SCHEMA_VERSION,
            event_id: EventId(dice.uuid()),
            user_id: self.user_id.clone(),
            device_id: if phone { self.phone.clone() } else { self.watch.clone() },
            source: if phone { Source::Phone } else { Source::Watch },
            app_version: Some(if phone { "4.2.0" } else { "2.7.1" }.into()),
            kind,
            event_time: at,
            tz_offset_min: Some(zones::offset_min(self.zone, at)),
            tz: phone.then_some(self.zone),
            payload,
        }
    }
}

/// Simulates the person with this number, from 0: the same person in every run with the same seed, days and end.
#[must_use]
pub fn person(options: &Options, number: u32) -> Person {
    let options = options.bounded();
    let mut dice = Dice::new(options.seed, number);
    let archetype = Archetype::ALL[number as usize % Archetype::ALL.len()];
    let me = identity(archetype, number);

    let planned = live(&options, archetype, &me, &mut dice);
    let mut sent = delivery::first(planned, &me, options.end, &mut dice);
    revise::revise(&mut sent, &me, options.end, &mut dice);

    let mut truth = planted(archetype, &me);
    for event in sent.iter().map(|s| &s.event) {
        *truth.by_kind.entry(event.kind.as_str().into()).or_default() += 1;
    }
    let kind = |truth: &UserTruth, kind: Kind| truth.by_kind.get(kind.as_str()).copied().unwrap_or_default();
    truth.corrections = kind(&truth, Kind::Correct);
    truth.retractions = kind(&truth, Kind::Retract);
    truth.distinct = sent.len() as u64;
    truth.current = truth::current(&sent);

    truth.duplicates = delivery::again(&mut sent, options.end, &mut dice);
    truth.sent = truth.distinct + truth.duplicates;
    sent.sort_by_key(|s| (s.send_time, s.event.event_time, s.event.event_id));
    Person { truth, sent }
}

fn identity(archetype: Archetype, number: u32) -> Identity {
    let id = format!("sim-{:04}-{}", number + 1, archetype.as_str());
    let (round, seat) = (number as usize / Archetype::ALL.len(), number as usize % Archetype::ALL.len());
    let zone = match archetype {
        Archetype::WinterSpike => zones::NORTHERN[round % zones::NORTHERN.len()],
        // The others are dealt all zones in turn: whoever craves in winter (seat 3) takes none of them.
        _ => {
            zones::ALL[(round * (Archetype::ALL.len() - 1) + seat - usize::from(seat > 3)) % zones::ALL.len()]
        }
    };
    // Letters, digits and hyphens, and short: always valid.
    let user_id = UserId::new(id.as_str()).unwrap_or_else(|_| unreachable!("{id} is a valid id"));
    Identity {
        user_id,
        zone,
        phone: DeviceId::new(format!("{id}-phone")).ok(),
        watch: DeviceId::new(format!("{id}-watch")).ok(),
    }
}

fn planted(archetype: Archetype, me: &Identity) -> UserTruth {
    UserTruth {
        user_id: me.user_id.to_string(),
        archetype,
        craving: archetype.craving().map(str::to_owned),
        trigger: archetype.trigger().map(str::to_owned),
        peak_hours: archetype.peak_hours().to_vec(),
        peak_weekdays: archetype.peak_weekdays().to_vec(),
        peak_months: archetype.peak_months().to_vec(),
        falls: archetype.falls(),
        zone: me.zone.name().into(),
        sent: 0,
        distinct: 0,
        duplicates: 0,
        corrections: 0,
        retractions: 0,
        by_kind: BTreeMap::new(),
        current: truth::Current::default(),
    }
}

/// Everything that happens to a person, as their devices note it.
fn live(options: &Options, archetype: Archetype, me: &Identity, dice: &mut Dice) -> Vec<Planned> {
    let last: NaiveDate = options.end.with_timezone(&me.zone).date_naive();
    let first = last.checked_sub_days(Days::new(options.days.into())).unwrap_or(last);
    let begin = options.end - Duration::days(options.days.into());
    let mut planned = Vec::with_capacity(options.days as usize * 64);
    let mut body = Body::new(begin, dice);
    let mut diary = Diary::new(dice);
    let mut stress = 0.4;
    for (i, date) in first.iter_days().take_while(|date| *date <= last).enumerate() {
        // Stress has a memory of some days, and most of it comes from work.
        let usual = if date.weekday().number_from_monday() <= 5 { 0.5 } else { 0.2 };
        stress = (0.55 * stress + 0.45 * dice.normal(usual, 0.35)).clamp(0.0, 1.0);
        let progress = i as f64 / f64::from(options.days.max(1));
        let day = Day { date, progress, stress };
        let urges = habit::urges(archetype, day, dice);
        diary.day(me, day, &urges, dice, &mut planned);
        body.day(me, archetype, day, &urges, dice, &mut planned);
    }
    planned.retain(|p| p.event.event_time >= begin && p.event.event_time <= options.end);
    planned
}
