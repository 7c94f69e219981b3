//! Times as text, the form in which Arroyo hands them to a function: its UDFs know no timestamps.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

/// Reads what a cast of a timestamp or date to text writes: `2026-01-10T23:30:00.123456789`, a blank for the `T`,
/// or a date alone (then midnight). `None` for anything else.
pub(crate) fn from_text(text: &str) -> Option<NaiveDateTime> {
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let whole = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    whole.or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN)))
}

/// Writes a time so that a cast to a timestamp reads it back, to the nanosecond.
pub(crate) fn to_text(time: NaiveDateTime) -> String {
    time.format("%Y-%m-%dT%H:%M:%S%.f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        let table = [
            ("2026-01-10T23:30:00", Some("2026-01-10T23:30:00")),
            ("2026-01-10 23:30:00.5", Some("2026-01-10T23:30:00.500")),
            ("2026-01-10T23:30:00.123456789", Some("2026-01-10T23:30:00.123456789")),
            ("2026-01-10", Some("2026-01-10T00:00:00")),
            ("1969-12-31T23:59:59.999999999", Some("1969-12-31T23:59:59.999999999")),
            ("23:30", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(from_text(text).map(to_text).as_deref(), expected, "{text}");
        }
    }
}
