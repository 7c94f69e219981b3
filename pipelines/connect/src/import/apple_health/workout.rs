//! From a `Workout` and its statistics to a draft of an event.

use chrono_tz::Tz;
use crave_schemas::Kind;
use serde_json::json;

use super::element::Attributes;
use super::record::Span;
use crate::import::draft::Draft;
use crate::import::{Reason, Rejected, units};

/// Totals of a workout as its children tell them (iOS 16 and later).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    distance_m: Option<f64>,
    energy_kcal: Option<f64>,
}

impl Totals {
    /// Takes one `WorkoutStatistics`.
    pub(super) fn add(&mut self, statistics: &Attributes) {
        let quantity = statistics.get("type").and_then(|t| t.strip_prefix("HKQuantityTypeIdentifier"));
        let sum = statistics.number("sum").ok().flatten();
        let unit = statistics.get("unit").unwrap_or_default();
        let (Some(quantity), Some(sum)) = (quantity, sum) else { return };
        if quantity == "ActiveEnergyBurned" {
            self.energy_kcal =
                self.energy_kcal.or_else(|| units::kilocalories(unit).map(|factor| sum * factor));
        } else if quantity.starts_with("Distance") {
            let distance = units::metres(unit).map(|factor| sum * factor);
            // A workout with several kinds of distance (a triathlon) covers their sum.
            self.distance_m = distance.map_or(self.distance_m, |d| Some(self.distance_m.unwrap_or(0.0) + d));
        }
    }
}

/// Reads a workout; `tz` is its `HKTimeZone`.
pub(super) fn draft(attributes: &Attributes, tz: Option<Tz>, totals: Totals) -> Result<Draft, Rejected> {
    let full_name = attributes.require("workoutActivityType")?;
    let span = Span::of(attributes, tz)?;
    let duration_s = match attributes.number("duration")? {
        None => span.seconds()?,
        Some(value) => {
            let factor = converted(attributes, "durationUnit", "min", units::seconds)?;
            units::whole_seconds(value * factor)
                .ok_or_else(|| Rejected::new(Reason::Number, "duration", "must be a length of time"))?
        }
    };
    let distance_m = match attributes.number("totalDistance")? {
        None => totals.distance_m,
        Some(value) => Some(value * converted(attributes, "totalDistanceUnit", "km", units::metres)?),
    };
    let energy_kcal = match attributes.number("totalEnergyBurned")? {
        None => totals.energy_kcal,
        Some(value) => {
            Some(value * converted(attributes, "totalEnergyBurnedUnit", "kcal", units::kilocalories)?)
        }
    };
    let mut payload = json!({"activity": activity(full_name), "duration_s": duration_s});
    for (name, value) in [("distance_m", distance_m), ("energy_kcal", energy_kcal)] {
        if let Some(value) = value {
            payload[name] = value.into();
        }
    }
    // Not its totals: they move from attributes to children between versions of iOS.
    Ok(span.draft(Kind::Workout, payload, attributes, &["Workout", full_name]))
}

fn converted(
    attributes: &Attributes,
    unit: &'static str,
    default: &str,
    factor: fn(&str) -> Option<f64>,
) -> Result<f64, Rejected> {
    factor(attributes.get(unit).unwrap_or(default))
        .ok_or_else(|| Rejected::new(Reason::Unit, unit, "is not a known unit of this amount"))
}

/// `HKWorkoutActivityTypeTraditionalStrengthTraining` as "traditional strength training".
fn activity(full_name: &str) -> String {
    let name = full_name.strip_prefix("HKWorkoutActivityType").unwrap_or(full_name);
    let mut words = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}
