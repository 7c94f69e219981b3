//! From one point of a metric to a draft of an event.

use crave_schemas::{Kind, SleepStage};
use serde_json::{Map, Value, json};

use crate::import::draft::{Draft, Moment, identity};
use crate::import::{Reason, Rejected, units, when};

/// A JSON object of the export.
pub(super) type Object = Map<String, Value>;

/// Reads one point of the metric `name`.
pub(super) fn draft(name: &str, unit: Option<&str>, point: &Object) -> Result<Draft, Rejected> {
    let unit = unit.unwrap_or_default();
    let factor = |factor: fn(&str) -> Option<f64>, default: &str| {
        factor(if unit.is_empty() { default } else { unit })
            .ok_or_else(|| Rejected::new(Reason::Unit, "units", "is not a known unit of this metric"))
    };
    let quantity = || number(point, "qty")?.ok_or_else(|| missing("qty"));
    let (kind, value) = match plain(name).as_str() {
        "heart_rate" => {
            let average = match number(point, "Avg")? {
                Some(average) => Some(average),
                None => number(point, "avg")?.or(number(point, "qty")?),
            };
            (Kind::HeartRateBpm, average.ok_or_else(|| missing("Avg"))? * factor(units::bpm, "bpm")?)
        }
        "resting_heart_rate" => (Kind::RestingHeartRateBpm, quantity()? * factor(units::bpm, "bpm")?),
        "heart_rate_variability" | "heart_rate_variability_sdnn" => {
            (Kind::HrvSdnnMs, quantity()? * factor(units::milliseconds, "ms")?)
        }
        "heart_rate_variability_rmssd" => {
            (Kind::HrvRmssdMs, quantity()? * factor(units::milliseconds, "ms")?)
        }
        "step_count" => (Kind::Steps, quantity()? * factor(units::count, "count")?),
        "walking_running_distance" => (Kind::DistanceM, quantity()? * factor(units::metres, "")?),
        "mindful_minutes" => {
            let seconds = quantity()? * factor(units::seconds, "min")?;
            return mindful(point, seconds);
        }
        "sleep_analysis" => return sleep(point, factor(units::seconds, "hr")?),
        _ => {
            return Err(Rejected::new(Reason::UnsupportedType, "name", "is a metric that has no event here"));
        }
    };
    let at = first_moment(point, &["date", "startDate", "start"])?;
    Ok(build(kind, at, json!({"value": value}), point, &[&value.to_string()]))
}

fn mindful(point: &Object, seconds: f64) -> Result<Draft, Rejected> {
    let duration_s = length("qty", seconds)?;
    let at = first_moment(point, &["date", "startDate", "start"])?;
    Ok(build(Kind::Mindful, at, json!({"duration_s": duration_s}), point, &[&duration_s.to_string()]))
}

/// A night in sum, or one stage of it.
fn sleep(point: &Object, unit_s: f64) -> Result<Draft, Rejected> {
    if let Some(value) = text(point, "value") {
        let stage = stage(value)
            .ok_or_else(|| Rejected::new(Reason::Value, "value", "is not a known stage of sleep"))?;
        let start = first_moment(point, &["startDate", "start", "date"])?;
        let duration_s = match (moment(point, "endDate")?, number(point, "qty")?) {
            (Some(end), _) => u32::try_from((end.utc - start.utc).num_seconds())
                .map_err(|_| Rejected::new(Reason::Time, "endDate", "is before startDate"))?,
            (None, Some(quantity)) => length("qty", quantity * unit_s)?,
            (None, None) => return Err(missing("endDate")),
        };
        let payload = json!({"stages": [{"stage": stage, "duration_s": duration_s}]});
        return Ok(build(Kind::Sleep, start, payload, point, &[value, &duration_s.to_string()]));
    }
    let mut stages = Vec::new();
    let mut told = Vec::new();
    let mut add = |stage: SleepStage, field: &'static str| -> Result<bool, Rejected> {
        let Some(quantity) = number(point, field)?.filter(|q| *q > 0.0) else { return Ok(false) };
        let duration_s = length(field, quantity * unit_s)?;
        stages.push(json!({"stage": stage, "duration_s": duration_s}));
        told.push(format!("{field}={duration_s}"));
        Ok(true)
    };
    add(SleepStage::InBed, "inBed")?;
    add(SleepStage::Awake, "awake")?;
    let detailed = [(SleepStage::Core, "core"), (SleepStage::Deep, "deep"), (SleepStage::Rem, "rem")]
        .into_iter()
        .try_fold(false, |any, (stage, field)| Ok::<_, Rejected>(add(stage, field)? || any))?;
    // The sum of the stages is told again as `asleep` or `totalSleep`; it counts only where there are no stages.
    if !detailed && !add(SleepStage::Asleep, "asleep")? {
        add(SleepStage::Asleep, "totalSleep")?;
    }
    if stages.is_empty() {
        return Err(missing("asleep"));
    }
    let start = first_moment(point, &["sleepStart", "inBedStart", "startDate"])?;
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    Ok(build(Kind::Sleep, start, json!({"stages": stages}), point, &told))
}

fn stage(value: &str) -> Option<SleepStage> {
    Some(match plain(value).as_str() {
        "in_bed" | "inbed" => SleepStage::InBed,
        "asleep" | "unspecified" | "asleep_unspecified" => SleepStage::Asleep,
        "awake" => SleepStage::Awake,
        "core" | "light" | "asleep_core" => SleepStage::Core,
        "deep" | "asleep_deep" => SleepStage::Deep,
        "rem" | "asleep_rem" => SleepStage::Rem,
        _ => return None,
    })
}

/// A name in one spelling: lower case, words joined by `_`.
fn plain(name: &str) -> String {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("_")
}

fn build(kind: Kind, moment: Moment, payload: Value, point: &Object, told: &[&str]) -> Draft {
    let source = text(point, "source").map(|s| s.split('|').next().unwrap_or(s));
    let at = moment.utc.timestamp_micros().to_string();
    let common = ["health-auto-export", kind.as_str(), &at, source.unwrap_or_default()];
    Draft {
        kind,
        moment,
        payload,
        device: source.map(str::to_owned),
        app_version: None,
        identity: identity(&[&common, told].concat()),
    }
}

pub(super) fn missing(field: &str) -> Rejected {
    Rejected::new(Reason::Missing, field, "is required")
}

/// A text that is not blank.
pub(super) fn text<'a>(object: &'a Object, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str).filter(|t| !t.trim().is_empty())
}

/// A number, when the member is there and not null.
pub(super) fn number(object: &Object, field: &str) -> Result<Option<f64>, Rejected> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64().filter(|v| v.is_finite()) {
            Some(number) => Ok(Some(number)),
            None => Err(Rejected::new(Reason::Number, field, "must be a number")),
        },
    }
}

/// A length of time in whole seconds.
pub(super) fn length(field: &str, seconds: f64) -> Result<u32, Rejected> {
    units::whole_seconds(seconds)
        .ok_or_else(|| Rejected::new(Reason::Number, field, "must be a length of time"))
}

/// A time, when the member is there.
pub(super) fn moment(object: &Object, field: &str) -> Result<Option<Moment>, Rejected> {
    let Some(text) = text(object, field) else { return Ok(None) };
    let bad = |detail| Rejected::new(Reason::Time, field, detail);
    let written = when::read(text).ok_or_else(|| bad("must be a time such as 2024-02-06 14:30:00 -0800"))?;
    let offset = written.offset_min.ok_or_else(|| bad("has no offset from UTC, such as -0800"))?;
    Moment::at_offset(written.local, offset).map(Some).ok_or_else(|| bad("is out of range"))
}

/// The first of several members that tells a time.
pub(super) fn first_moment(object: &Object, fields: &[&str]) -> Result<Moment, Rejected> {
    for field in fields {
        if let Some(moment) = moment(object, field)? {
            return Ok(moment);
        }
    }
    Err(missing(fields.first().copied().unwrap_or_default()))
}
