//! From an `ActivitySummary` to a draft of an event.

use chrono::{DateTime, Duration, Utc};
use crave_schemas::Kind;
use serde_json::json;

use super::element::Attributes;
use crate::import::draft::{Draft, Moment, identity};
use crate::import::{Reason, Rejected, units, when};

/// Reads a day's rings. The day has no zone: it stands at midnight UTC with the offset unknown; a day that has
/// begun only in the east stands where it began first (UTC+14).
pub(super) fn draft(attributes: &Attributes, now: DateTime<Utc>) -> Result<Draft, Rejected> {
    let text = attributes.require("dateComponents")?;
    let day = when::read(text)
        .filter(|w| w.day_only)
        .ok_or_else(|| Rejected::new(Reason::Time, "dateComponents", "must be a day such as 2016-04-14"))?;
    let mut moment = Moment::unknown_zone(day.local);
    if moment.utc > now {
        moment.utc -= Duration::hours(14);
    }
    let unit = attributes.get("activeEnergyBurnedUnit").unwrap_or("kcal");
    let kcal = units::kilocalories(unit).ok_or_else(|| {
        Rejected::new(Reason::Unit, "activeEnergyBurnedUnit", "is not a known unit of energy")
    })?;
    let mut payload = json!({"date": day.local.date()});
    let mut values = Vec::new();
    for (field, attribute, factor) in [
        ("active_energy_kcal", "activeEnergyBurned", kcal),
        ("active_energy_goal_kcal", "activeEnergyBurnedGoal", kcal),
        ("exercise_min", "appleExerciseTime", 1.0),
        ("exercise_goal_min", "appleExerciseTimeGoal", 1.0),
        ("stand_h", "appleStandHours", 1.0),
        ("stand_goal_h", "appleStandHoursGoal", 1.0),
    ] {
        values.push(attributes.get(attribute).unwrap_or_default());
        if let Some(value) = attributes.number(attribute)? {
            payload[field] = (value * factor).into();
        }
    }
    // The values belong to the identity: the day of the export is not over, a later export completes it.
    let own = [&["apple-health", "ActivitySummary", text, unit], values.as_slice()].concat();
    Ok(Draft {
        kind: Kind::ActivitySummary,
        moment,
        payload,
        device: None,
        app_version: None,
        identity: identity(&own),
    })
}
