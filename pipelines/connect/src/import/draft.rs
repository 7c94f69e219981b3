//! From what an importer understood to a validated event, through the one validation there is.

use chrono::{DateTime, NaiveDateTime, Offset as _, SecondsFormat, TimeZone as _, Utc};
use chrono_tz::Tz;
use crave_schemas::{Event, EventId, Kind, LIMITS, UserId};
use serde_json::{Value, json};

use super::Rejected;

/// Longest device id, in bytes (the limit of `DeviceId`).
const DEVICE_BYTES_MAX: usize = 64;

/// An instant with what is known of the wall clock that showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The instant.
    pub(crate) utc: DateTime<Utc>,
    /// Minutes east of UTC, when known.
    pub(crate) offset_min: Option<i32>,
    /// The zone, when known.
    pub(crate) tz: Option<Tz>,
}

impl Moment {
    /// A wall clock `offset_min` minutes east of UTC.
    pub(crate) fn at_offset(local: NaiveDateTime, offset_min: i32) -> Option<Self> {
        let utc = local.checked_sub_signed(chrono::Duration::minutes(offset_min.into()))?.and_utc();
        Some(Self { utc, offset_min: Some(offset_min), tz: None })
    }

    /// A wall clock whose zone nobody wrote down: its reading stands for UTC and the offset stays unknown.
    pub(crate) fn unknown_zone(local: NaiveDateTime) -> Self {
        Self { utc: local.and_utc(), offset_min: None, tz: None }
    }

    /// A wall clock in a zone. A reading that happened twice (autumn) is the first one; a reading that never
    /// happened (spring) is read with the offset before the change.
    pub(crate) fn in_zone(local: NaiveDateTime, tz: Tz) -> Option<Self> {
        let utc = match tz.from_local_datetime(&local).earliest() {
            Some(at) => at.to_utc(),
            None => {
                let gap = chrono::Duration::hours(3);
                let before = tz.from_local_datetime(&local.checked_sub_signed(gap)?).earliest()?;
                before.to_utc().checked_add_signed(gap)?
            }
        };
        Some(Self { utc, offset_min: None, tz: None }.with_zone(tz))
    }

    /// The same instant on the wall clocks of `tz`.
    pub(crate) fn with_zone(self, tz: Tz) -> Self {
        let seconds = tz.offset_from_utc_datetime(&self.utc.naive_utc()).fix().local_minus_utc();
        Self { offset_min: Some(seconds.div_euclid(60)), tz: Some(tz), ..self }
    }
}

/// An event before validation.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// What it tells.
    pub(crate) kind: Kind,
    /// When.
    pub(crate) moment: Moment,
    /// The body.
    pub(crate) payload: Value,
    /// The source's name of the device or program, in any spelling.
    pub(crate) device: Option<String>,
    /// Version of the program that recorded it.
    pub(crate) app_version: Option<String>,
    /// What makes the record this record and no other; see [`identity`].
    pub(crate) identity: Vec<u8>,
}

impl Draft {
    /// Gives it an id and validates it.
    pub(crate) fn event(self, user: &UserId, now: DateTime<Utc>) -> Result<Event, Rejected> {
        let mut wire = json!({
            "event_id": EventId::derived(user, &self.identity),
            "source": "import",
            "kind": self.kind,
            "event_time": self.moment.utc.to_rfc3339_opts(SecondsFormat::Micros, true),
            "payload": self.payload,
        });
        if let Some(minutes) = self.moment.offset_min {
            wire["tz_offset_min"] = minutes.into();
        }
        if let Some(tz) = self.moment.tz {
            wire["tz"] = tz.name().into();
        }
        if let Some(device) = self.device.as_deref().and_then(device_id) {
            wire["device_id"] = device.into();
        }
        if let Some(version) = self.app_version {
            wire["app_version"] =
                version.chars().take(LIMITS.app_version_chars_max).collect::<String>().into();
        }
        Ok(Event::parse(wire.to_string().as_bytes(), Some(user), now)?)
    }
}

/// Joins the parts of an identity so that no two lists of parts give the same bytes.
pub(crate) fn identity(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|p| p.len() + 8).sum());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

/// A device id from a name such as "Ana’s Apple Watch": ASCII letters and digits, lower case, joined by `-`.
fn device_id(name: &str) -> Option<String> {
    let mut id = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            id.push(c.to_ascii_lowercase());
        } else if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
        if id.len() >= DEVICE_BYTES_MAX {
            break;
        }
    }
    let id = id.trim_end_matches('-');
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn local(month: u32, day: u32, hour: u32, minute: u32) -> NaiveDateTime {
        NaiveDate::from_ymd_opt(2026, month, day).unwrap().and_hms_opt(hour, minute, 0).unwrap()
    }

    #[test]
    fn wall_clocks_become_instants() {
        let berlin = chrono_tz::Europe::Berlin;
        for (wall, utc, offset) in [
            (local(1, 10, 12, 0), "2026-01-10T11:00:00Z", 60),
            (local(3, 29, 2, 30), "2026-03-29T01:30:00Z", 120), // never happened
            (local(10, 25, 2, 30), "2026-10-25T00:30:00Z", 120), // happened twice
        ] {
            let moment = Moment::in_zone(wall, berlin).unwrap();
            assert_eq!(moment.utc.to_rfc3339_opts(SecondsFormat::Secs, true), utc);
            assert_eq!(moment.offset_min, Some(offset));
        }
    }

    #[test]
    fn device_names_become_ids() {
        for (name, id) in [
            ("Ana\u{2019}s Apple\u{a0}Watch", Some("ana-s-apple-watch")),
            ("iPhone (2)", Some("iphone-2")),
            ("日本", None),
            ("", None),
        ] {
            assert_eq!(device_id(name).as_deref(), id, "{name}");
        }
        assert_eq!(device_id(&"x".repeat(200)).unwrap().len(), 64);
    }

    #[test]
    fn identities_do_not_run_together() {
        assert_ne!(identity(&["ab", "c"]), identity(&["a", "bc"]));
    }
}
