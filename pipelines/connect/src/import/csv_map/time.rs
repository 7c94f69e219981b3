//! Times of rows: formats, and the zone that the wall clock was in.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Tz;
use serde::Deserialize;

use crate::import::draft::Moment;
use crate::import::when;

/// Which zone's wall clock a file shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Zone {
    /// Nobody wrote it down: the reading stands for UTC and the offset stays unknown.
    #[default]
    Unknown,
    /// Minutes east of UTC.
    Offset(i32),
    /// An IANA zone.
    Named(Tz),
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::read(&text).ok_or_else(|| {
            "zone must be an IANA name such as Europe/Berlin, an offset such as +02:00, UTC or unknown"
                .to_owned()
        })
    }
}

impl Zone {
    /// Reads a zone by name or offset.
    pub(super) fn read(text: &str) -> Option<Self> {
        match text.trim() {
            "unknown" => Some(Self::Unknown),
            "UTC" | "Z" | "GMT" => Some(Self::Offset(0)),
            text if text.starts_with(['+', '-', '\u{2212}']) => {
                // The reader of times knows all spellings of an offset.
                when::read(&format!("2000-01-01 00:00 {text}"))?.offset_min.map(Self::Offset)
            }
            text => text.parse().ok().map(Self::Named),
        }
    }

    fn place(self, local: NaiveDateTime) -> Option<Moment> {
        match self {
            Self::Unknown => Some(Moment::unknown_zone(local)),
            Self::Offset(minutes) => Moment::at_offset(local, minutes),
            Self::Named(tz) => Moment::in_zone(local, tz),
        }
    }
}

/// Reads a time by the first format that fits. An offset in the text holds over the zone of the map.
pub(super) fn read(text: &str, formats: &[String], zone: Zone) -> Option<Moment> {
    // Sources are careless with blanks; formats are not.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if formats.is_empty() {
        return auto(&text, zone);
    }
    formats.iter().find_map(|format| match format.as_str() {
        "auto" => auto(&text, zone),
        "unix_s" => {
            DateTime::from_timestamp_secs(text.parse().ok()?).and_then(|at| instant(at.naive_utc(), zone))
        }
        "unix_ms" => {
            DateTime::from_timestamp_millis(text.parse().ok()?).and_then(|at| instant(at.naive_utc(), zone))
        }
        format => {
            if let Ok(at) = DateTime::parse_from_str(&text, format) {
                return Moment::at_offset(at.naive_local(), at.offset().local_minus_utc() / 60);
            }
            let local = NaiveDateTime::parse_from_str(&text, format).or_else(|_| {
                NaiveDate::parse_from_str(&text, format).map(|day| day.and_time(NaiveTime::MIN))
            });
            zone.place(local.ok()?)
        }
    })
}

fn auto(text: &str, zone: Zone) -> Option<Moment> {
    let written = when::read(text)?;
    match written.offset_min {
        Some(offset) => Moment::at_offset(written.local, offset),
        None => zone.place(written.local),
    }
}

/// An absolute time, with the zone's offset where the zone is known.
fn instant(utc: NaiveDateTime, zone: Zone) -> Option<Moment> {
    let moment = Moment::unknown_zone(utc);
    Some(match zone {
        Zone::Unknown => moment,
        Zone::Offset(minutes) => Moment { offset_min: Some(minutes), ..moment },
        Zone::Named(tz) => moment.with_zone(tz),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(text: &str) -> Zone {
        Zone::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn times_are_placed_by_their_zone() {
        let format = |f: &str| vec![f.to_owned()];
        for (text, formats, zone_name, utc, offset) in [
            ("2020-04-21 21:23:08", format("%Y-%m-%d %H:%M:%S"), "unknown", "2020-04-21T21:23:08Z", None),
            (
                "2020-04-21  21:23:08",
                format("%Y-%m-%d %H:%M:%S"),
                "+02:00",
                "2020-04-21T19:23:08Z",
                Some(120),
            ),
            ("2020-04-21", format("%Y-%m-%d"), "Asia/Kathmandu", "2020-04-20T18:15:00Z", Some(345)),
            ("21.04.2020 21:23", format("%d.%m.%Y %H:%M"), "UTC", "2020-04-21T21:23:00Z", Some(0)),
            (
                "2020-04-21 21:23 -0300",
                format("%Y-%m-%d %H:%M %z"),
                "unknown",
                "2020-04-22T00:23:00Z",
                Some(-180),
            ),
            ("1587504188", format("unix_s"), "unknown", "2020-04-21T21:23:08Z", None),
            ("1587504188000", format("unix_ms"), "Europe/Berlin", "2020-04-21T21:23:08Z", Some(120)),
            ("2020-04-21T21:23:08Z", Vec::new(), "unknown", "2020-04-21T21:23:08Z", Some(0)),
        ] {
            let moment = read(text, &formats, zone(zone_name)).unwrap_or_else(|| panic!("not read: {text}"));
            assert_eq!(moment.utc, utc.parse::<DateTime<chrono::Utc>>().unwrap(), "{text}");
            assert_eq!(moment.offset_min, offset, "{text}");
        }
        assert!(read("n/a", &format("%Y"), Zone::Unknown).is_none());
        assert!(Zone::try_from("Mars/Olympus".to_owned()).is_err());
        assert!(Zone::try_from("+2x".to_owned()).is_err());
    }
}
