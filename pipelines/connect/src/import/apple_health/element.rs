//! The attributes of one element, as text.

use quick_xml::events::BytesStart;

use crate::import::{Reason, Rejected};

/// The attributes that are read; all others are passed over.
const KNOWN: &[&str] = &[
    "type",
    "sourceName",
    "source",
    "sourceVersion",
    "unit",
    "value",
    "startDate",
    "endDate",
    "key",
    "sum",
    "workoutActivityType",
    "duration",
    "durationUnit",
    "totalDistance",
    "totalDistanceUnit",
    "totalEnergyBurned",
    "totalEnergyBurnedUnit",
    "dateComponents",
    "activeEnergyBurned",
    "activeEnergyBurnedGoal",
    "activeEnergyBurnedUnit",
    "appleExerciseTime",
    "appleExerciseTimeGoal",
    "appleStandHours",
    "appleStandHoursGoal",
];

/// Known attributes of an element, unescaped.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(Vec<(&'static str, String)>);

impl Attributes {
    /// Reads them. Attributes without a value are passed over: iOS 8 wrote names with spaces in them.
    pub(super) fn of(tag: &BytesStart<'_>) -> Result<Self, Rejected> {
        // A quote that is not closed makes the tag swallow its neighbour.
        if tag.attributes_raw().contains(&b'<') {
            return Err(Rejected::new(Reason::Malformed, "", "an attribute's quote is not closed"));
        }
        let mut known = Vec::with_capacity(8);
        for attribute in tag.attributes().with_checks(false).flatten() {
            let Some(&name) = KNOWN.iter().find(|name| name.as_bytes() == attribute.key.as_ref()) else {
                continue;
            };
            let raw = std::str::from_utf8(&attribute.value)
                .map_err(|_| Rejected::new(Reason::Encoding, name, "is not UTF-8"))?;
            let text = quick_xml::escape::unescape(raw).map_err(|_| {
                Rejected::new(Reason::Malformed, name, "holds an entity that XML does not define")
            })?;
            known.push((name, text.into_owned()));
        }
        Ok(Self(known))
    }

    /// The value of an attribute; blank ones count as missing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
        value.filter(|v| !v.trim().is_empty())
    }

    /// The value of an attribute that must be there.
    pub(super) fn require(&self, name: &'static str) -> Result<&str, Rejected> {
        self.get(name).ok_or_else(|| Rejected::new(Reason::Missing, name, "is required"))
    }

    /// A number, when the attribute is there.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<f64>, Rejected> {
        self.get(name).map(|text| number(name, text)).transpose()
    }

    /// The program that made the record: `sourceName`, or `source` in exports of iOS 8.
    pub(super) fn source(&self) -> Option<&str> {
        self.get("sourceName").or_else(|| self.get("source"))
    }
}

/// Reads a decimal number.
pub(super) fn number(name: &str, text: &str) -> Result<f64, Rejected> {
    let value: f64 = text
        .trim()
        .parse()
        .map_err(|_| Rejected::new(Reason::Number, name, "must be a number such as 42 or 0.00288"))?;
    if value.is_finite() { Ok(value) } else { Err(Rejected::new(Reason::Number, name, "must be finite")) }
}
