//! From one workout to a draft of an event; export versions 1 and 2.

use crave_schemas::Kind;
use serde_json::{Value, json};

use super::metric::{Object, first_moment, length, missing, moment, number, text};
use crate::import::draft::{Draft, identity};
use crate::import::{Reason, Rejected, units};

/// Reads a workout.
pub(super) fn draft(workout: &Object) -> Result<Draft, Rejected> {
    let name = text(workout, "name").ok_or_else(|| missing("name"))?;
    let start = first_moment(workout, &["start"])?;
    let end = moment(workout, "end")?;
    let duration_s = match (number(workout, "duration")?, end) {
        (Some(seconds), _) => length("duration", seconds)?,
        (None, Some(end)) => u32::try_from((end.utc - start.utc).num_seconds())
            .map_err(|_| Rejected::new(Reason::Time, "end", "is before start"))?,
        (None, None) => return Err(missing("end")),
    };
    let mut payload = json!({"activity": name, "duration_s": duration_s});
    if let Some(metres) = amount(workout, &["distance"], units::metres)? {
        payload["distance_m"] = metres.into();
    }
    if let Some(kcal) = amount(workout, &["activeEnergyBurned", "activeEnergy"], units::kilocalories)? {
        payload["energy_kcal"] = kcal.into();
    }
    let at = start.utc.timestamp_micros().to_string();
    Ok(Draft {
        kind: Kind::Workout,
        moment: start,
        payload,
        device: None,
        app_version: None,
        // Not its totals: the app recomputes them.
        identity: identity(&["health-auto-export", "workout", &at, name, &duration_s.to_string()]),
    })
}

/// An amount as `{"qty": …, "units": …}`. Version 2 has a list of points under `activeEnergy`: not the total.
fn amount(
    workout: &Object,
    fields: &[&str],
    factor: fn(&str) -> Option<f64>,
) -> Result<Option<f64>, Rejected> {
    for field in fields {
        let Some(Value::Object(amount)) = workout.get(*field) else { continue };
        let Some(quantity) = number(amount, "qty")? else { continue };
        let factor = factor(text(amount, "units").unwrap_or_default())
            .ok_or_else(|| Rejected::new(Reason::Unit, format!("{field}.units"), "is not a known unit"))?;
        return Ok(Some(quantity * factor));
    }
    Ok(None)
}
