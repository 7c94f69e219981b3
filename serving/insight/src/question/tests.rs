use chrono::TimeDelta;

use super::*;

/// Saturday.
fn now() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-21T22:30:00Z").unwrap().to_utc()
}

fn labels() -> Vec<Label> {
    let label = |craving: &str| Label { craving: craving.into(), month_n: 9, year_n: 9, n: 9 };
    vec![label("sugar"), label("comfort food"), label("chocolate cake")]
}

fn own(question: &str) -> Query {
    match read(question, &labels(), now(), 60) {
        Reading::Own(query) => query,
        other => panic!("{question}: {other:?}"),
    }
}

#[test]
fn a_question_is_read() {
    use Ask::*;
    let table = [
        ("why do I crave sugar at night?", Why, Some("sugar"), Some(PartOfDay::Night), ""),
        ("How many sugar cravings did I have this week?", Count, Some("sugar"), None, ""),
        ("when do I want sweets", When, Some("sugar"), None, ""),
        ("what triggers my cravings on weekends", Trigger, None, None, "at weekends"),
        ("Am I getting better with the cravings?", Trend, None, None, ""),
        ("how strong are my cravings in the morning", Why, None, Some(PartOfDay::Morning), ""),
        ("are my urges stronger on Mondays?", Intensity, None, None, "on Mondays"),
        ("did I resist comfort food", Resisted, Some("comfort food"), None, ""),
        ("why chocolate cake again", Why, Some("chocolate cake"), None, ""),
        ("do I smoke more", Trend, Some("nicotine"), None, ""),
        ("HRV before cravings", Hrv, None, None, ""),
        ("on which weekday do cravings come", When, None, None, ""),
    ];
    for (question, ask, craving, part, weekdays) in table {
        let query = own(question);
        let ask = if question.starts_with("how strong") { Intensity } else { ask };
        let got = (query.ask, query.craving.as_deref(), query.part, query.weekdays_when);
        assert_eq!(got, (ask, craving, part, weekdays), "{question}");
    }
}

#[test]
fn what_is_not_about_the_log_is_told() {
    let table = [
        ("how many mg of naltrexone should I take", Reading::Medical),
        ("do I have diabetes?", Reading::Medical),
        ("what dose of magnesium against sugar cravings", Reading::Medical),
        ("can you diagnose me", Reading::Medical),
        ("what is the capital of France?", Reading::Foreign),
        ("hello", Reading::Foreign),
        ("", Reading::Foreign),
    ];
    for (question, reading) in table {
        assert_eq!(read(question, &labels(), now(), 0), reading, "{question}");
    }
}

#[test]
fn periods_are_local_days() {
    // At +60 min it is 23:30 on Saturday, 21 November.
    let table = [
        ("today", "today", "2026-11-20T23:00", "now"),
        ("yesterday", "yesterday", "2026-11-19T23:00", "2026-11-20T23:00"),
        ("this week", "this week", "2026-11-15T23:00", "now"),
        ("last week", "last week", "2026-11-08T23:00", "2026-11-15T23:00"),
        ("last month", "last month", "2026-09-30T23:00", "2026-10-31T23:00"),
        ("since march", "since March 2026", "2026-02-28T23:00", "now"),
        ("since December", "since December 2025", "2025-11-30T23:00", "now"),
        ("in June", "June 2026", "2026-05-31T23:00", "2026-06-30T23:00"),
        ("in june 2024", "June 2024", "2024-05-31T23:00", "2024-06-30T23:00"),
        ("last winter", "last winter", "2025-11-30T23:00", "2026-02-28T23:00"),
        ("this autumn", "this autumn", "2026-08-31T23:00", "now"),
        ("this year", "this year", "2025-12-31T23:00", "now"),
        ("over the past 3 months", "last 3 months", "ago 90", "now"),
        ("in the last two weeks", "last 2 weeks", "ago 14", "now"),
        ("ever", "all your log", "1970-01-01T00:00", "now"),
    ];
    let until = now() + TimeDelta::minutes(5);
    for (phrase, label, since, end) in table {
        let period = own(&format!("sugar cravings {phrase}")).period.unwrap_or_else(|| panic!("{phrase}"));
        assert_eq!(period.label, label, "{phrase}");
        let at = |text: &str| match (text, text.strip_prefix("ago ")) {
            ("now", _) => until,
            (_, Some(days)) => until - TimeDelta::days(days.parse().unwrap()),
            _ => DateTime::parse_from_rfc3339(&format!("{text}:00Z")).unwrap().to_utc(),
        };
        assert!((period.since - at(since)).abs() <= TimeDelta::microseconds(1), "{phrase}: {period:?}");
        assert!((period.until - at(end)).abs() <= TimeDelta::microseconds(1), "{phrase}: {period:?}");
    }
    assert_eq!(own("may I have sugar").period, None);
}

proptest::proptest! {
    #[test]
    fn any_question_is_read(question in "\\PC{0,200}", offset in -900_i64..900) {
        let _ = read(&question, &labels(), now(), offset);
    }

    #[test]
    fn a_period_is_never_empty(
        phrase in proptest::sample::select(vec!["today", "yesterday", "this week", "last week", "this month", "last month", "this winter", "last summer", "since march", "in may", "this year", "last year"]),
        offset in -840_i64..840, hours in 0_i64..9_000,
    ) {
        let at = now() - TimeDelta::hours(hours);
        if let Reading::Own(Query { period: Some(period), .. }) = read(&format!("cravings {phrase}"), &[], at, offset) {
            proptest::prop_assert!(period.since < period.until, "{:?}", period);
        }
    }
}

#[test]
fn a_short_question_takes_up_the_one_before() {
    for (question, leans) in [
        ("and on weekends?", true),
        ("What about alcohol?", true),
        ("why?", true),
        ("I love my sister", false),
        ("what did my sister bring when she came to see us?", false),
        ("", false),
    ] {
        assert_eq!(follows(question), leans, "{question}");
    }
}
