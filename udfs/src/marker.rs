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
    let change = match trend.n_before {
        None => String::new(),
        Some(..=0) => ", none in the period before".into(),
        Some(before) => change(n / precise(before), "the period before"),
    };
    let mean = Some(precise(trend.sum_intensity) / n);
    let period = period(trend.start, trend.end);
    Some(sentence(&period, &trend.craving, n * 7.0 / days, &change, &trend.day_parts, trend.n, mean))
}

/// A calendar period, as far as it was observed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Period {
    /// `month`, `season` or `half_year`; it names the period before.
    pub grain: String,
    /// What is craved.
    pub craving: String,
    /// First moment observed.
    pub start: NaiveDateTime,
    /// End of what was observed, not part of it.
    pub end: NaiveDateTime,
    /// Cravings.
    pub n: i64,
    /// Cravings that have an intensity.
    pub value_n: i64,
    /// Sum of their intensities.
    pub sum_intensity: f64,
    /// Cravings by local time: 0–5, 5–12, 12–17, 17–21, 21–24.
    pub day_parts: [i64; 5],
    /// Cravings a week in the period before; `None` when there is none to compare with.
    pub per_week_before: Option<f64>,
}

/// Writes a [`Period`] as [`trend_marker`] does, but compares rates, since months differ in length and a period
/// may have only begun: "…, up 40 % on the six months before, …". `None` when there is nothing to tell.
#[must_use]
pub fn period_marker(of: &Period) -> Option<String> {
    let days = precise(of.end.signed_duration_since(of.start).num_seconds()) / 86_400.0;
    if of.n < 1 || days <= 0.0 {
        return None;
    }
    let before = match of.grain.as_str() {
        "month" => "the month before",
        "season" => "the three months before",
        "half_year" => "the six months before",
        _ => "the period before",
    };
    let per_week = precise(of.n) * 7.0 / days;
    let rate_before = of.per_week_before.filter(|rate| *rate > 0.0);
    let change = rate_before.map(|rate| change(per_week / rate, before)).unwrap_or_default();
    let mean = (of.value_n > 0).then(|| of.sum_intensity / precise(of.value_n));
    Some(sentence(&period(of.start, of.end), &of.craving, per_week, &change, &of.day_parts, of.n, mean))
}

/// ", up 40 % on …" of a ratio to the rate before.
fn change(ratio: f64, before: &str) -> String {
    let percent = (ratio - 1.0) * 100.0;
    if percent.abs() < SAME_PERCENT {
        format!(", as in {before}")
    } else if percent > 0.0 {
        format!(", up {percent:.0} % on {before}")
    } else {
        format!(", down {:.0} % on {before}", -percent)
    }
}

fn sentence(
    period: &str,
    craving: &str,
    per_week: f64,
    change: &str,
    day_parts: &[i64; 5],
    n: i64,
    mean: Option<f64>,
) -> String {
    let mut text = format!("{period}: {craving} cravings {per_week:.1}/week{change}");
    // Writing to a String cannot fail.
    let most = day_parts.iter().enumerate().max_by_key(|(i, count)| (**count, std::cmp::Reverse(*i)));
    if let Some((part, &count)) = most
        && precise(count) >= 0.3 * precise(n)
    {
        let (from, to) = HOURS[part];
        let _ = write!(text, ", {:.0} % between {from} and {to}", precise(count) / precise(n) * 100.0);
    }
    if let Some(mean) = mean {
        let _ = write!(text, ", mean intensity {mean:.1}");
    }
    let _ = write!(text, " (n = {n})");
    text
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
    fn calendar_periods_compare_rates() {
        let half_year = || Period {
            grain: "half_year".into(),
            craving: "sugar".into(),
            start: day("2026-06-01"),
            end: day("2026-12-01"),
            n: 81,
            value_n: 80,
            sum_intensity: 512.0,
            day_parts: [3, 5, 8, 15, 50],
            per_week_before: Some(2.213),
        };
        let table = [
            (
                half_year(),
                "Jun–Nov 2026: sugar cravings 3.1/week, up 40 % on the six months before, 62 % between 21:00 and \
                 24:00, mean intensity 6.4 (n = 81)",
            ),
            (
                Period { grain: "season".into(), per_week_before: Some(3.2), value_n: 0, ..half_year() },
                "Jun–Nov 2026: sugar cravings 3.1/week, as in the three months before, 62 % between 21:00 and 24:00 \
                 (n = 81)",
            ),
            (
                Period {
                    grain: "month".into(),
                    end: day("2026-06-15"),
                    per_week_before: Some(81.0),
                    ..half_year()
                },
                "1 Jun – 14 Jun 2026: sugar cravings 40.5/week, down 50 % on the month before, 62 % between 21:00 and \
                 24:00, mean intensity 6.4 (n = 81)",
            ),
            (
                Period { per_week_before: Some(0.0), day_parts: [1; 5], ..half_year() },
                "Jun–Nov 2026: sugar cravings 3.1/week, mean intensity 6.4 (n = 81)",
            ),
        ];
        for (period, expected) in table {
            assert_eq!(period_marker(&period).as_deref(), Some(expected));
        }
        assert_eq!(period_marker(&Period { n: 0, ..half_year() }), None);
        assert_eq!(period_marker(&Period { end: day("2026-06-01"), ..half_year() }), None);
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
