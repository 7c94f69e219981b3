//! From a `Record` to a draft of an event.

use chrono_tz::Tz;
use crave_schemas::{Kind, SleepStage};
use serde_json::{Value, json};

use super::element::{Attributes, number};
use crate::import::draft::{Draft, Moment, identity};
use crate::import::{Reason, Rejected, units, when};

/// How a record's value becomes a payload.
enum Shape {
    /// One number at an instant; the function gives the factor of a unit.
    Measure(fn(&str) -> Option<f64>),
    /// An amount over the record's span.
    Tally(fn(&str) -> Option<f64>),
    /// A stage of sleep.
    Sleep,
    /// Only a span.
    Mindful,
}

fn shape(record_type: &str) -> Option<(Kind, Shape)> {
    Some(match record_type {
        "HKQuantityTypeIdentifierHeartRateVariabilitySDNN" => {
            (Kind::HrvSdnnMs, Shape::Measure(units::milliseconds))
        }
        "HKQuantityTypeIdentifierHeartRateVariabilityRMSSD" => {
            (Kind::HrvRmssdMs, Shape::Measure(units::milliseconds))
        }
        "HKQuantityTypeIdentifierHeartRate" => (Kind::HeartRateBpm, Shape::Measure(units::bpm)),
        "HKQuantityTypeIdentifierRestingHeartRate" => (Kind::RestingHeartRateBpm, Shape::Measure(units::bpm)),
        "HKQuantityTypeIdentifierStepCount" => (Kind::Steps, Shape::Tally(units::count)),
        "HKQuantityTypeIdentifierDistanceWalkingRunning" => (Kind::DistanceM, Shape::Tally(units::metres)),
        "HKCategoryTypeIdentifierSleepAnalysis" => (Kind::Sleep, Shape::Sleep),
        "HKCategoryTypeIdentifierMindfulSession" => (Kind::Mindful, Shape::Mindful),
        _ => return None,
    })
}

/// Reads a record; `tz` is its `HKTimeZone`.
pub(super) fn draft(attributes: &Attributes, tz: Option<Tz>) -> Result<Draft, Rejected> {
    let record_type = attributes.require("type")?;
    let Some((kind, shape)) = shape(record_type) else {
        return Err(Rejected::new(
            Reason::UnsupportedType,
            "type",
            "is a kind of record that has no event here",
        ));
    };
    let span = Span::of(attributes, tz)?;
    let payload = match shape {
        Shape::Measure(factor) => json!({"value": scaled(attributes, factor)?}),
        Shape::Tally(factor) => json!({"value": scaled(attributes, factor)?, "duration_s": span.seconds()?}),
        Shape::Mindful => json!({"duration_s": span.seconds()?}),
        Shape::Sleep => {
            let stage = stage(attributes.require("value")?)
                .ok_or_else(|| Rejected::new(Reason::Value, "value", "is not a known stage of sleep"))?;
            json!({"stages": [{"stage": stage, "duration_s": span.seconds()?}]})
        }
    };
    Ok(span.draft(
        kind,
        payload,
        attributes,
        &[
            record_type,
            attributes.get("value").unwrap_or_default(),
            attributes.get("unit").unwrap_or_default(),
        ],
    ))
}

fn scaled(attributes: &Attributes, factor: fn(&str) -> Option<f64>) -> Result<f64, Rejected> {
    let value = number("value", attributes.require("value")?)?;
    let unit = attributes.get("unit").unwrap_or_default();
    let factor = factor(unit)
        .ok_or_else(|| Rejected::new(Reason::Unit, "unit", "is not a known unit of this kind"))?;
    // A factor of one must not touch the last digit; others are rounded where floats add noise.
    if factor == 1.0 { Ok(value) } else { Ok((value * factor * 1e6).round() / 1e6) }
}

/// Sleep values: before iOS 16 `Asleep`, after it by stage; very old exports and some tools give the raw number.
fn stage(value: &str) -> Option<SleepStage> {
    Some(match value.strip_prefix("HKCategoryValueSleepAnalysis").unwrap_or(value) {
        "InBed" | "0" => SleepStage::InBed,
        "Asleep" | "AsleepUnspecified" | "1" => SleepStage::Asleep,
        "Awake" | "2" => SleepStage::Awake,
        "AsleepCore" | "3" => SleepStage::Core,
        "AsleepDeep" | "4" => SleepStage::Deep,
        "AsleepREM" | "5" => SleepStage::Rem,
        _ => return None,
    })
}

/// The time a record covers.
pub(super) struct Span {
    /// Its start.
    pub(super) start: Moment,
    end: Moment,
}

impl Span {
    /// Reads `startDate` and `endDate` (the start again, when missing).
    pub(super) fn of(attributes: &Attributes, tz: Option<Tz>) -> Result<Self, Rejected> {
        attributes.require("startDate")?;
        let start = moment(attributes, "startDate", tz)?;
        let end =
            if attributes.get("endDate").is_some() { moment(attributes, "endDate", tz)? } else { start };
        Ok(Self { start, end })
    }

    /// Its length.
    pub(super) fn seconds(&self) -> Result<u32, Rejected> {
        u32::try_from((self.end.utc - self.start.utc).num_seconds())
            .map_err(|_| Rejected::new(Reason::Time, "endDate", "is before startDate"))
    }

    /// A draft of an event at its start. The identity is what makes the record one and the same in every export:
    /// the instants, not the zone they are written in, and never `creationDate` or `device`, which change.
    pub(super) fn draft(self, kind: Kind, payload: Value, attributes: &Attributes, own: &[&str]) -> Draft {
        let source = attributes.source();
        let version = attributes.get("sourceVersion");
        let micros = |moment: Moment| moment.utc.timestamp_micros().to_string();
        let (start, end) = (micros(self.start), micros(self.end));
        let common = ["apple-health", &start, &end, source.unwrap_or_default(), version.unwrap_or_default()];
        Draft {
            kind,
            moment: self.start,
            payload,
            device: source.map(str::to_owned),
            app_version: version.map(str::to_owned),
            identity: identity(&[&common, own].concat()),
        }
    }
}

fn moment(attributes: &Attributes, name: &'static str, tz: Option<Tz>) -> Result<Moment, Rejected> {
    let bad = |detail| Rejected::new(Reason::Time, name, detail);
    let written = when::read(attributes.require(name)?)
        .ok_or_else(|| bad("must be a time such as 2014-09-13 10:27:54 +0100"))?;
    let offset = written.offset_min.ok_or_else(|| bad("has no offset from UTC, such as +0100"))?;
    let moment = Moment::at_offset(written.local, offset).ok_or_else(|| bad("is out of range"))?;
    Ok(tz.map_or(moment, |tz| moment.with_zone(tz)))
}
