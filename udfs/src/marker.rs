//! The sentence that compresses a stretch of time.

use std::fmt::Write;

use chrono::{Datelike, Duration, NaiveDate, NaiveDateTime};

/// What a sentence is made of; all counts, so that parts of a period add up to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trend {
    /// What is craved.
    pub craving: String,
    /// Start of the period.
    pub start: NaiveDateTime,
    /// End of the period, not part of it.
    pub end: NaiveDateTime,
    /// Cravings.
    pub n: i64,
    /// Sum of their intensities.
    pub sum_intensity: i64,
    /// Cravings by local time: 0–5, 5–12, 12–17, 17–21, 21–24.
    pub day_parts: [i64; 5],
    /// Cravings in the period before, of the same length; `None` when it is not known.
    pub n_before: Option<i64>,
}

const HOURS: [(&str, &str); 5] =
    [("00:00", "05:00"), ("05:00", "12:00"), ("12:00", "17:00"), ("17:00", "21:00"), ("21:00", "24:00")];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// A change of the rate below this, in percent, is called none.
const SAME_PERCENT: f64 = 5.0;

/// Writes, for example, "Jun–Nov 2026: sugar cravings 3.1/week, up 40 % on the period before, 62 % between 21:00
/// and 24:00, mean intensity 6.4 (n = 81)". The part of the day is named when it holds at least 30 % of the
/// cravings. `None` when there is nothing to tell (`n` below 1, or a period that does not last).
#[must_use]
pub fn trend_marker(trend: &Trend) -> Option<String> {
    let days = precise(trend.end.signed_duration_since(trend.start).num_seconds()) / 86_400.0;
    if trend.n < 1 || days <= 0.0 {
        return None;
    }
    let n = precise(trend.n);
    let mut text =
        format!("{}: {} cravings {:.1}/week", period(trend.start, trend.end), trend.craving, n * 7.0 / days);
    // Writing to a String cannot fail.
    if let Some(before) = trend.n_before {
        let change = (n - precise(before)) / precise(before) * 100.0;
        let _ = match before {
            ..=0 => write!(text, ", none in the period before"),
            _ if change.abs() < SAME_PERCENT => write!(text, ", as in the period before"),
            _ if change > 0.0 => write!(text, ", up {change:.0} % on the period before"),
            _ => write!(text, ", down {:.0} % on the period before", -change),
        };
    }
    let most = trend.day_parts.iter().enumerate().max_by_key(|(i, count)| (**count, std::cmp::Reverse(*i)));
    if let Some((part, &count)) = most
        && precise(count) >= 0.3 * n
    {
        let (from, to) = HOURS[part];
        let _ = write!(text, ", {:.0} % between {from} and {to}", precise(count) / n * 100.0);
    }
    let _ = write!(text, ", mean intensity {:.1} (n = {})", precise(trend.sum_intensity) / n, trend.n);
    Some(text)
}

/// Counts are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
const fn precise(count: i64) -> f64 {
    count as f64
}

/// "Jun–Nov 2026" for whole months, else "3 Jan – 1 Feb 2026" (both days in it).
fn period(start: NaiveDateTime, end: NaiveDateTime) -> String {
    let (first, last) = (start.date(), (end - Duration::nanoseconds(1)).date());
    let whole = first.day() == 1 && (last + Duration::days(1)).day() == 1;
    let month = |d: NaiveDate| MONTHS[d.month0() as usize];
    match (whole, first.year() == last.year()) {
        (true, true) if first.month() == last.month() => format!("{} {}", month(first), first.year()),
        (true, true) => format!("{}–{} {}", month(first), month(last), last.year()),
        (true, false) => format!("{} {}–{} {}", month(first), first.year(), month(last), last.year()),
        (false, true) => {
            format!("{} {} – {} {} {}", first.day(), month(first), last.day(), month(last), last.year())
        }
        (false, false) => format!(
            "{} {} {} – {} {} {}",
            first.day(),
            month(first),
            first.year(),
            last.day(),
            month(last),
            last.year()
        ),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day(text: &str) -> NaiveDateTime {
        text.parse::<NaiveDate>().unwrap().and_hms_opt(0, 0, 0).unwrap()
    }

    fn sugar(start: &str, end: &str) -> Trend {
        Trend {
            craving: "sugar".into(),
            start: day(start),
            end: day(end),
            n: 81,
            sum_intensity: 518,
            day_parts: [3, 5, 8, 15, 50],
            n_before: None,
        }
    }

    #[test]
    fn sentences() {
        let table = [
            (
                Trend { n_before: Some(58), ..sugar("2026-06-01", "2026-12-01") },
                "Jun–Nov 2026: sugar cravings 3.1/week, up 40 % on the period before, 62 % between 21:00 and 24:00, \
                 mean intensity 6.4 (n = 81)",
            ),
            (
                sugar("2026-01-03", "2026-02-02"),
                "3 Jan – 1 Feb 2026: sugar cravings 18.9/week, 62 % between 21:00 and 24:00, mean intensity 6.4 \
                 (n = 81)",
            ),
            (
                Trend {
                    n_before: Some(82),
                    day_parts: [16, 16, 16, 16, 17],
                    ..sugar("2026-02-01", "2026-03-01")
                },
                "Feb 2026: sugar cravings 20.2/week, as in the period before, mean intensity 6.4 (n = 81)",
            ),
            (
                Trend { n_before: Some(162), ..sugar("2025-12-01", "2026-03-01") },
                "Dec 2025–Feb 2026: sugar cravings 6.3/week, down 50 % on the period before, 62 % between 21:00 and \
                 24:00, mean intensity 6.4 (n = 81)",
            ),
            (
                Trend { n_before: Some(0), ..sugar("2025-12-20", "2026-01-19") },
                "20 Dec 2025 – 18 Jan 2026: sugar cravings 18.9/week, none in the period before, 62 % between 21:00 \
                 and 24:00, mean intensity 6.4 (n = 81)",
            ),
        ];
        for (trend, expected) in table {
            assert_eq!(trend_marker(&trend).as_deref(), Some(expected));
        }
    }

    #[test]
    fn nothing_to_tell() {
        assert_eq!(trend_marker(&Trend { n: 0, ..sugar("2026-01-01", "2026-02-01") }), None);
        assert_eq!(trend_marker(&sugar("2026-02-01", "2026-02-01")), None);
    }

    proptest! {
        #[test]
        fn it_always_ends_in_the_evidence(n in 1i64..100_000, sum in 0i64..1_000_000, days in 1i64..4000, before in proptest::option::of(0i64..1000)) {
            let start = day("2020-01-01");
            let trend = Trend { n, sum_intensity: sum, end: start + Duration::days(days), n_before: before, ..sugar("2020-01-01", "2020-01-02") };
            let text = trend_marker(&trend).unwrap();
            prop_assert!(text.ends_with(&format!("(n = {n})")), "{text}");
        }
    }
}
