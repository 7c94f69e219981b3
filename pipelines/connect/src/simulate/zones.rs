//! Where people live: zones at both ends of the world, with offsets by the quarter hour, with DST and without.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;

/// Zones dealt out in turn. Their order puts both ends of the world and both kinds of DST among the first people.
pub(super) const ALL: &[Tz] = &[
    Tz::Europe__Berlin,
    Tz::America__New_York,
    Tz::Pacific__Kiritimati,
    Tz::Etc__GMTPlus12,
    Tz::Asia__Kolkata,
    Tz::Australia__Lord_Howe,
    Tz::America__St_Johns,
    Tz::Asia__Kathmandu,
    Tz::Pacific__Chatham,
    Tz::America__Los_Angeles,
    Tz::Asia__Tokyo,
    Tz::Africa__Casablanca,
    Tz::America__Sao_Paulo,
];

/// Zones of the northern hemisphere, where winter is December to February.
pub(super) const NORTHERN: &[Tz] =
    &[Tz::Europe__Helsinki, Tz::America__Toronto, Tz::Asia__Tokyo, Tz::Europe__London, Tz::America__St_Johns];

/// The instant at which clocks in `zone` show minute `minute` of `day` (more than 1,440 is the next day), and the
/// offset then. A time that happens twice is the first; one that never happens is an hour later.
pub(super) fn instant(zone: Tz, day: NaiveDate, minute: f64) -> (DateTime<Utc>, i16) {
    // Seconds of a few days, so the cast is exact.
    let local = day.and_time(NaiveTime::MIN) + Duration::seconds((minute * 60.0) as i64);
    let at = zone
        .from_local_datetime(&local)
        .earliest()
        .or_else(|| zone.from_local_datetime(&(local + Duration::hours(1))).earliest())
        .map_or_else(|| local.and_utc(), |at| at.to_utc());
    (at, offset_min(zone, at))
}

/// Minutes east of UTC in `zone` at an instant.
pub(super) fn offset_min(zone: Tz, at: DateTime<Utc>) -> i16 {
    let seconds = zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc();
    i16::try_from(seconds / 60).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dst_nights_have_their_instants() {
        let day = |m, d| NaiveDate::from_ymd_opt(2026, m, d).unwrap();
        for (zone, day, minute, utc, offset) in [
            (Tz::Europe__Berlin, day(3, 29), 150.0, "2026-03-29T01:30:00Z", 120),
            (Tz::Europe__Berlin, day(10, 25), 150.0, "2026-10-25T00:30:00Z", 120),
            (Tz::Pacific__Kiritimati, day(1, 1), 0.0, "2025-12-31T10:00:00Z", 840),
            (Tz::Etc__GMTPlus12, day(1, 1), 1_440.0, "2026-01-02T12:00:00Z", -720),
            (Tz::Pacific__Chatham, day(1, 1), 0.0, "2025-12-31T10:15:00Z", 825),
        ] {
            assert_eq!(instant(zone, day, minute), (utc.parse().unwrap(), offset), "{zone}");
        }
    }
}
