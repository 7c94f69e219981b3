//! When a habit strikes: the urges of one day.

use chrono::{Datelike as _, NaiveDate};

use super::Archetype;
use super::dice::Dice;
use super::script::Script;
use super::words::{
    alcohol::ALCOHOL, comfort::COMFORT, nicotine::NICOTINE, recovery::RECOVERY, small::CAFFEINE, sugar::SUGAR,
};

/// The scripts that anybody speaks, in the order of [`Urge::script`].
pub(super) static SCRIPTS: [&Script; 6] = [&SUGAR, &NICOTINE, &ALCOHOL, &COMFORT, &RECOVERY, &CAFFEINE];

const SUGAR_AT: usize = 0;
/// The trigger of sugar that is not tied to an evening.
const BOREDOM: usize = 2;
const NICOTINE_AT: usize = 1;
const ALCOHOL_AT: usize = 2;
const COMFORT_AT: usize = 3;
const RECOVERY_AT: usize = 4;
const CAFFEINE_AT: usize = 5;

/// A day as the habit sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    /// The local date.
    pub(super) date: NaiveDate,
    /// How far the simulated time has gone, 0 to 1.
    pub(super) progress: f64,
    /// How stressful it is, 0 to 1.
    pub(super) stress: f64,
}

impl Day {
    /// Monday = 1.
    pub(super) fn weekday(self) -> u32 {
        self.date.weekday().number_from_monday()
    }

    pub(super) fn works(self) -> bool {
        self.weekday() <= 5
    }
}

/// A craving about to be felt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Urge {
    /// Minute of the local day.
    pub(super) minute: f64,
    /// Which of [`SCRIPTS`].
    pub(super) script: usize,
    /// Which trigger of the script.
    pub(super) trigger: usize,
    /// 1 to 10.
    pub(super) intensity: u8,
    pub(super) resisted: bool,
}

impl Urge {
    /// Whether stress set it off, which the watch sees.
    pub(super) fn stressful(self) -> bool {
        SCRIPTS.get(self.script).and_then(|s| s.triggers.get(self.trigger)).is_some_and(|t| t.stress)
    }
}

/// The urges of a day, in order of time.
pub(super) fn urges(archetype: Archetype, day: Day, dice: &mut Dice) -> Vec<Urge> {
    let mut urges = Vec::new();
    let stress = day.stress;
    match archetype {
        Archetype::NightSugar => {
            if dice.chance(0.62 + 0.35 * stress) {
                let times = if dice.chance(0.2 * stress) { 2 } else { 1 };
                for _ in 0..times {
                    let minute = hill(dice, 21.05, 23.95);
                    urges.push(urge(dice, SUGAR_AT, minute, 5.2 + 2.6 * stress, 0.5 - 0.35 * stress, stress));
                }
            }
            if dice.chance(0.08) {
                let minute = hill(dice, 14.5, 17.0);
                let idle = urge(dice, SUGAR_AT, minute, 3.5, 0.7, 0.0);
                urges.push(Urge { trigger: BOREDOM, ..idle });
            }
        }
        Archetype::StressNicotine => {
            let rate = if day.works() { 0.9 + 4.0 * stress } else { 0.5 };
            for _ in 0..dice.poisson(rate).min(8) {
                let minute = match (day.works(), dice.chance(0.5)) {
                    (true, _) if dice.chance(0.12) => dice.between(8.0, 20.0) * 60.0,
                    (true, true) => hill(dice, 10.0, 12.0),
                    (true, false) => hill(dice, 15.0, 17.0),
                    (false, _) => dice.between(10.0, 21.0) * 60.0,
                };
                urges.push(urge(dice, NICOTINE_AT, minute, 4.8 + 3.0 * stress, 0.55 - 0.3 * stress, stress));
            }
        }
        Archetype::WeekendAlcohol => {
            let rate = match day.weekday() {
                5 => 1.4,
                6 => 1.9,
                7 => 0.25,
                _ => 0.07,
            };
            for _ in 0..dice.poisson(rate).min(4) {
                let minute = hill(dice, 19.0, 22.9);
                urges.push(urge(dice, ALCOHOL_AT, minute, 6.0, 0.35, 0.2));
            }
        }
        Archetype::WinterSpike => {
            let rate = match day.date.month() {
                12 | 1 | 2 => 1.7,
                11 | 3 => 0.6,
                _ => 0.18,
            };
            for _ in 0..dice.poisson(rate).min(5) {
                let minute = hill(dice, 16.0, 19.95);
                let intensity = if rate > 1.0 { 6.5 } else { 4.0 };
                urges.push(urge(dice, COMFORT_AT, minute, intensity, 0.4, 0.2));
            }
        }
        Archetype::Recovery => {
            let rate = 2.4 * (-2.4 * day.progress).exp();
            for _ in 0..dice.poisson(rate).min(6) {
                let minute = hill(dice, 18.0, 21.95);
                let resist = 0.2 + 0.72 * day.progress;
                urges.push(urge(dice, RECOVERY_AT, minute, 8.2 - 5.0 * day.progress, resist, 0.2));
            }
        }
        Archetype::Mixed => {
            for (script, rate) in
                [(SUGAR_AT, 0.35), (NICOTINE_AT, 0.35), (CAFFEINE_AT, 0.45), (ALCOHOL_AT, 0.12)]
            {
                for _ in 0..dice.poisson(rate).min(3) {
                    let minute = dice.between(8.0, 23.0) * 60.0;
                    urges.push(urge(dice, script, minute, 4.5, 0.5, stress));
                }
            }
        }
    }
    urges.sort_by(|a, b| a.minute.total_cmp(&b.minute));
    urges
}

/// A time of day with its peak in the middle of `from` to `to`, in hours; in minutes.
fn hill(dice: &mut Dice, from: f64, to: f64) -> f64 {
    (from + (to - from) * (dice.unit() + dice.unit()) / 2.0) * 60.0
}

fn urge(dice: &mut Dice, script: usize, minute: f64, intensity: f64, resist: f64, stress: f64) -> Urge {
    // Stress makes its own triggers likelier.
    let weight = |t: &super::script::Trigger| t.weight * if t.stress { 0.75 + 0.5 * stress } else { 1.0 };
    let trigger = SCRIPTS.get(script).map_or(0, |s| dice.weighted(s.triggers.iter().map(weight)));
    let felt = dice.normal(intensity, 1.3).round().clamp(1.0, 10.0);
    // 1 to 10 by the clamp, so the cast is exact.
    Urge { minute, script, trigger, intensity: felt as u8, resisted: dice.chance(resist) }
}
