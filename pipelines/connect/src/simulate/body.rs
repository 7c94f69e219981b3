//! What the watch measures: heart rate variability, heart rates, steps, sleep.

use chrono::{DateTime, Duration, Utc};
use crave_schemas::{Kind, Measure, Payload, Sleep, SleepStage, StageSpan, Tally};

use super::Archetype;
use super::delivery::{Channel, Planned};
use super::dice::Dice;
use super::habit::{Day, Urge};
use super::person::Identity;
use super::zones;

/// How long before and after a stressful craving the heart shows it, in minutes.
const STRESS_MIN: i64 = 100;
/// Stressful spans remembered.
const SPANS_MAX: usize = 12;

/// A body, from day to day.
#[derive(Debug)]
pub(super) struct Body {
    sdnn_ms: f64,
    resting_bpm: f64,
    next_hrv: DateTime<Utc>,
    /// Spans of stress that the heart shows.
    stressed: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// Whether alcohol was drunk the evening before.
    drunk: bool,
}

impl Body {
    pub(super) fn new(begin: DateTime<Utc>, dice: &mut Dice) -> Self {
        Self {
            sdnn_ms: dice.lognormal(48.0, 0.25).clamp(25.0, 95.0),
            resting_bpm: dice.normal(61.0, 6.0).clamp(45.0, 80.0),
            next_hrv: begin + Duration::minutes(dice.whole(5, 240)),
            stressed: Vec::new(),
            drunk: false,
        }
    }

    /// Lives one day.
    pub(super) fn day(
        &mut self,
        me: &Identity,
        archetype: Archetype,
        day: Day,
        urges: &[Urge],
        dice: &mut Dice,
        out: &mut Vec<Planned>,
    ) {
        for urge in urges.iter().filter(|u| u.stressful()) {
            let (at, _) = zones::instant(me.zone, day.date, urge.minute);
            let span = Duration::minutes(STRESS_MIN);
            self.stressed.push((at - span, at + span));
        }
        let surplus = self.stressed.len().saturating_sub(SPANS_MAX);
        self.stressed.drain(..surplus);

        let late = if archetype == Archetype::NightSugar { 20.0 } else { 0.0 };
        let rest = if day.works() { 0.0 } else { 60.0 };
        let wakes = dice.normal(415.0 + rest, 25.0).clamp(300.0, 640.0);
        let sleeps = dice.normal(1_395.0 + late, 30.0).clamp(1_300.0, 1_500.0);
        let calm = if archetype.falls() { 0.25 * day.progress } else { 0.0 };

        self.variability(me, day, wakes, sleeps, calm, dice, out);
        self.rates(me, day, wakes, sleeps, calm, dice, out);
        steps(me, day, wakes, sleeps, dice, out);
        sleep(me, day, sleeps, dice, out);
        self.drunk = urges.iter().any(|u| u.script == 2 && !u.resisted);
    }

    fn stress_at(&self, at: DateTime<Utc>) -> bool {
        self.stressed.iter().any(|(from, to)| (*from..=*to).contains(&at))
    }

    #[allow(clippy::too_many_arguments)]
    fn variability(
        &mut self,
        me: &Identity,
        day: Day,
        wakes: f64,
        sleeps: f64,
        calm: f64,
        dice: &mut Dice,
        out: &mut Vec<Planned>,
    ) {
        let (midnight, _) = zones::instant(me.zone, day.date, 0.0);
        let (end, _) = zones::instant(me.zone, day.date, 1_440.0);
        while self.next_hrv < end {
            let at = self.next_hrv;
            self.next_hrv += Duration::minutes(dice.whole(120, 300));
            let minute = (at - midnight).num_minutes() as f64;
            let asleep = minute < wakes || minute > sleeps;
            let mut value =
                self.sdnn_ms * (1.0 + calm) * if asleep { 1.18 } else { 1.0 } * (1.08 - 0.16 * day.stress);
            if self.stress_at(at) {
                value *= dice.between(0.55, 0.7);
            }
            if self.drunk && minute < 600.0 {
                value *= 0.82;
            }
            let value = tenth((value * dice.lognormal(1.0, 0.11)).clamp(6.0, 250.0));
            out.push(measured(me, dice, Kind::HrvSdnnMs, at, value));
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn rates(
        &mut self,
        me: &Identity,
        day: Day,
        wakes: f64,
        sleeps: f64,
        calm: f64,
        dice: &mut Dice,
        out: &mut Vec<Planned>,
    ) {
        let mut minute = dice.between(0.0, 30.0);
        while minute < 1_440.0 {
            let (at, _) = zones::instant(me.zone, day.date, minute);
            let asleep = minute < wakes || minute > sleeps;
            let mut rate = self.resting_bpm - 6.0 * calm
                + if asleep { dice.normal(-3.0, 2.5) } else { dice.normal(16.0, 9.0) };
            if !asleep && dice.chance(0.05) {
                rate += dice.between(25.0, 70.0);
            }
            if self.stress_at(at) {
                rate += dice.between(6.0, 16.0);
            }
            out.push(measured(me, dice, Kind::HeartRateBpm, at, rate.round().clamp(38.0, 195.0)));
            minute += if asleep { dice.between(45.0, 80.0) } else { dice.between(20.0, 55.0) };
        }
        let (woke, _) = zones::instant(me.zone, day.date, wakes);
        let drink = if self.drunk { 5.0 } else { 0.0 };
        let rate = self.resting_bpm + drink - 6.0 * calm + 4.0 * day.stress + dice.normal(0.0, 1.5);
        out.push(measured(me, dice, Kind::RestingHeartRateBpm, woke, rate.round().clamp(36.0, 110.0)));
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn measured(me: &Identity, dice: &mut Dice, kind: Kind, at: DateTime<Utc>, value: f64) -> Planned {
    let event = me.event(dice, Channel::Watch, kind, at, Payload::Measure(Measure { value }));
    Planned { ready: at, channel: Channel::Watch, event }
}

fn steps(me: &Identity, day: Day, wakes: f64, sleeps: f64, dice: &mut Dice, out: &mut Vec<Planned>) {
    let mut minute = wakes;
    while minute + 60.0 < sleeps.min(1_440.0) {
        let (at, _) = zones::instant(me.zone, day.date, minute);
        minute += 60.0;
        if dice.chance(0.12) {
            continue;
        }
        let value = dice.lognormal(420.0, 0.9).round().min(9_000.0);
        let payload = Payload::Tally(Tally { value, duration_s: Some(3_600) });
        let event = me.event(dice, Channel::Watch, Kind::Steps, at, payload);
        out.push(Planned { ready: at + Duration::hours(1), channel: Channel::Watch, event });
    }
}

fn sleep(me: &Identity, day: Day, sleeps: f64, dice: &mut Dice, out: &mut Vec<Planned>) {
    let (at, _) = zones::instant(me.zone, day.date, sleeps);
    let asleep_s = (dice.normal(7.1, 0.7) - 0.9 * day.stress).clamp(3.5, 10.0) * 3_600.0;
    let deep = dice.between(0.12, 0.22);
    let rem = dice.between(0.18, 0.27);
    let awake = dice.between(0.02, 0.06) + 0.05 * day.stress;
    // Fractions of a night, so the casts are exact.
    let span = |stage, part: f64| StageSpan { stage, duration_s: (asleep_s * part) as u32 };
    let stages = vec![
        span(SleepStage::Awake, awake),
        span(SleepStage::Core, 1.0 - deep - rem),
        span(SleepStage::Deep, deep),
        span(SleepStage::Rem, rem),
    ];
    let wakes = at + Duration::seconds(stages.iter().map(|s| i64::from(s.duration_s)).sum());
    let event = me.event(dice, Channel::Watch, Kind::Sleep, at, Payload::Sleep(Sleep { stages }));
    out.push(Planned { ready: wakes, channel: Channel::Watch, event });
}
