//! A person's own clock at an instant.

use std::str::FromStr;

use chrono::{Duration, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// The wall clock at the UTC instant `utc`: in the IANA zone `tz` when it is one, else `tz_offset_min` minutes
/// east of UTC, else UTC itself (then [`tz_known`] is false and says so).
///
/// The zone wins over the offset because it knows the change of clocks.
#[must_use]
pub fn local_time(utc: NaiveDateTime, tz_offset_min: Option<i64>, tz: Option<&str>) -> NaiveDateTime {
    shifted(utc, tz_offset_min, tz.and_then(|tz| Tz::from_str(tz).ok()))
}

/// As [`local_time`], the zone looked up before.
pub(crate) fn shifted(utc: NaiveDateTime, tz_offset_min: Option<i64>, tz: Option<Tz>) -> NaiveDateTime {
    let offset = match (tz, tz_offset_min) {
        (Some(tz), _) => Duration::seconds(tz.offset_from_utc_datetime(&utc).fix().local_minus_utc().into()),
        // Beyond 26 hours it is no offset.
        (None, Some(minutes)) if (-1560..=1560).contains(&minutes) => Duration::minutes(minutes),
        (None, _) => Duration::zero(),
    };
    utc.checked_add_signed(offset).unwrap_or(utc)
}

/// Whether the local time of an event is known: it names an IANA zone or an offset.
#[must_use]
pub fn tz_known(tz_offset_min: Option<i64>, tz: Option<&str>) -> bool {
    tz_offset_min.is_some_and(|m| (-1560..=1560).contains(&m))
        || tz.is_some_and(|tz| Tz::from_str(tz).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap()
    }

    #[test]
    fn zone_before_offset_before_utc() {
        let table = [
            ("2026-01-10 12:00", None, None, "2026-01-10 12:00"),
            ("2026-01-10 12:00", Some(330), None, "2026-01-10 17:30"),
            ("2026-01-10 12:00", Some(-720), None, "2026-01-10 00:00"),
            ("2026-01-10 12:00", Some(840), None, "2026-01-11 02:00"),
            ("2026-01-10 12:00", Some(0), Some("America/New_York"), "2026-01-10 07:00"),
            ("2026-07-10 12:00", None, Some("America/New_York"), "2026-07-10 08:00"),
            ("2026-01-10 12:00", Some(60), Some("Mars/Olympus"), "2026-01-10 13:00"),
            ("2026-01-10 12:00", Some(99_999), None, "2026-01-10 12:00"),
            // Both nights in which Berlin changes its clocks.
            ("2026-03-29 00:59", None, Some("Europe/Berlin"), "2026-03-29 01:59"),
            ("2026-03-29 01:00", None, Some("Europe/Berlin"), "2026-03-29 03:00"),
            ("2026-10-25 00:30", None, Some("Europe/Berlin"), "2026-10-25 02:30"),
            ("2026-10-25 01:30", None, Some("Europe/Berlin"), "2026-10-25 02:30"),
        ];
        for (utc, offset, tz, local) in table {
            assert_eq!(local_time(at(utc), offset, tz), at(local), "{utc} {offset:?} {tz:?}");
        }
    }

    #[test]
    fn unknown_is_told() {
        assert!(tz_known(Some(0), None) && tz_known(None, Some("Asia/Tokyo")));
        assert!(!tz_known(None, None) && !tz_known(None, Some("nowhere")) && !tz_known(Some(5000), None));
    }
}
