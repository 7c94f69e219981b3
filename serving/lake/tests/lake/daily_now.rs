//! `daily` and `daily_now`: local days add up, and gold with the open day equals cravings counted directly.

use crate::support::{Event, Jobs, craving, event, rows, sample};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;

const DIRECT: &str = "
    SELECT user_id, local_date, craving, count(*) AS n, sum(intensity) AS s, min(intensity) AS least, max(intensity) AS most,
           count(resisted) AS answered, count(*) FILTER (WHERE resisted) AS resisted,
           count(*) FILTER (WHERE local_hour < 5) AS night, count(*) FILTER (WHERE local_hour BETWEEN 5 AND 11) AS morning,
           count(*) FILTER (WHERE local_hour BETWEEN 12 AND 16) AS afternoon,
           count(*) FILTER (WHERE local_hour BETWEEN 17 AND 20) AS evening, count(*) FILTER (WHERE local_hour > 20) AS late
    FROM cravings GROUP BY user_id, local_date, craving ORDER BY user_id, local_date, craving";
const NOW: &str = "
    SELECT user_id, local_date, craving, n, CAST(sum_intensity AS BIGINT) AS s, CAST(min_intensity AS BIGINT) AS least,
           CAST(max_intensity AS BIGINT) AS most, answered_n, resisted_n, night_n, morning_n, afternoon_n, evening_n, late_evening_n
    FROM daily_now ORDER BY user_id, local_date, craving";

/// Zones that make local dates hard: both ends of the Earth, half hours, clocks that change, none.
const ZONES: [(Option<i64>, Option<&str>); 6] = [
    (Some(-720), None),
    (Some(840), None),
    (Some(330), None),
    (None, Some("Europe/Berlin")),
    (None, Some("America/New_York")),
    (None, None),
];
const WHAT: [&str; 3] = ["sugar", "alcohol", "nicotine"];
const DAY_US: i64 = 86_400_000_000;

/// Cravings of three people over 20 days in which Europe changes its clocks, with corrections and retractions.
fn events() -> impl Strategy<Value = Vec<Event>> {
    let one = (
        0..3_u8,
        0..20 * 1440_i64,
        0..6_usize,
        0..3_u8,
        0..=10_i64,
        prop::option::of(any::<bool>()),
        0..10_u8,
    );
    prop::collection::vec(one, 0..60).prop_map(|drawn| {
        let start = crate::support::us("2026-10-15T00:00:00Z");
        let mut events = Vec::new();
        for (i, (user, minute, zone, what, intensity, resisted, fate)) in drawn.into_iter().enumerate() {
            let (offset_min, tz) = ZONES[zone];
            let body = |intensity: i64| json!({ "craving": WHAT[usize::from(what)], "intensity": intensity, "resisted": resisted });
            let craving = Event {
                id: format!("c{i}"),
                user: format!("user-{user}"),
                kind: "craving".into(),
                at_us: start + minute * 60_000_000,
                offset_min,
                tz: tz.map(Into::into),
                payload: body(intensity),
            };
            let revise = |kind: &str, payload| Event { id: format!("r{i}"), kind: kind.into(), payload, ..craving.clone() };
            match fate {
                0 => events.push(revise("retract", json!({ "target": format!("c{i}") }))),
                1 => events.push(revise("correct", json!({
                    "target": format!("c{i}"), "revision": 1, "kind": "craving", "event_time": "2026-10-20T23:30:00Z",
                    "body": body((intensity + 3) % 11) }))),
                _ => {}
            }
            events.push(craving);
        }
        events
    })
}

/// What gold may hold: everything closed; closed with days still to be recomputed (missing, or with old counts);
/// nothing.
fn gold() -> impl Strategy<Value = String> {
    (0..22_i64, 0..4_u8, 1..5_i64).prop_map(|(closed, state, step)| {
        let until = crate::support::us("2026-10-15T00:00:00Z") + closed * DAY_US;
        let within = format!("CAST(window_end AS BIGINT) <= {until}");
        let day = format!("(CAST(window_start AS BIGINT) / {DAY_US}) % {step}");
        match state {
            0 | 1 => format!("SELECT * FROM daily_parts WHERE {within}"),
            2 => format!("SELECT * FROM daily_parts WHERE {within} AND {day} <> 0"),
            _ => format!(
                "SELECT window_start, window_end, user_id, local_date, kind, craving,
                        CASE {day} WHEN 0 THEN n + 1 ELSE n END AS n, value_n, sum_value, sum_sq_value, min_value, max_value,
                        answered_n, resisted_n, night_n, morning_n, afternoon_n, evening_n, late_evening_n
                 FROM daily_parts WHERE {within}"
            ),
        }
    })
}

#[test]
fn gold_and_the_open_day_equal_cravings_counted_directly() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let jobs = runtime.block_on(Jobs::parse());
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    let checked = runner.run(&(events(), gold()), |(events, gold)| {
        let (direct, now) = runtime.block_on(async {
            let lake = jobs.lake(&events, &gold, "SELECT * FROM cravings").await;
            (rows(&lake, DIRECT).await, rows(&lake, NOW).await)
        });
        prop_assert_eq!(direct, now, "{}", gold);
        Ok(())
    });
    checked.unwrap();
}

#[tokio::test]
async fn gold_is_what_counts_where_it_holds_the_day() {
    let events = [craving("a", "2026-11-01T10:00:00Z", 4), craving("b", "2026-11-05T10:00:00Z", 6)];
    // A mark on gold's rows that silver does not have tells where a row came from.
    let marked = "SELECT window_start, window_end, user_id, local_date, kind, craving, n, value_n, sum_value, 99.0 AS sum_sq_value,
        min_value, max_value, answered_n, resisted_n, night_n, morning_n, afternoon_n, evening_n, late_evening_n
        FROM daily_parts WHERE window_end <= TIMESTAMP '2026-11-05T00:00:00'";
    let lake = Jobs::parse().await.lake(&events, marked, "SELECT * FROM cravings").await;
    let found =
        rows(&lake, "SELECT local_date, n, sum_sq_intensity FROM daily_now ORDER BY local_date").await;
    assert_eq!(found, [json!(["2026-11-01", 1, 99.0]), json!(["2026-11-05", 1, 36.0])]);
}

#[tokio::test]
async fn a_user_silent_for_days_is_complete() {
    let jobs = Jobs::parse().await;
    let events = [
        craving("a", "2026-11-01T10:00:00Z", 4),
        craving("b", "2026-11-05T23:59:59.999999Z", 6),
        craving("c", "2026-11-06T00:00:00Z", 8),
    ];
    let sql = "SELECT local_date, n, mean_intensity FROM daily_now ORDER BY local_date";
    let expected =
        [json!(["2026-11-01", 1, 4.0]), json!(["2026-11-05", 1, 6.0]), json!(["2026-11-06", 1, 8.0])];
    for closed in ["2026-11-01", "2026-11-02", "2026-11-04", "2026-11-06", "2026-11-07", "2026-11-30"] {
        let lake = jobs.drained(&events, &format!("{closed}T00:00:00")).await;
        assert_eq!(rows(&lake, sql).await, expected, "closed at {closed}");
    }
}

#[tokio::test]
async fn a_late_craving_counts_before_gold_is_recomputed() {
    let jobs = Jobs::parse().await;
    let events = [craving("a", "2026-11-01T10:00:00Z", 4), craving("late", "2026-11-01T09:00:00Z", 8)];
    let stale = "SELECT window_start, window_end, user_id, local_date, kind, craving, 1 AS n, 1 AS value_n, 4.0 AS sum_value,
        16.0 AS sum_sq_value, 4.0 AS min_value, 4.0 AS max_value, 0 AS answered_n, 0 AS resisted_n, 0 AS night_n, 1 AS morning_n,
        0 AS afternoon_n, 0 AS evening_n, 0 AS late_evening_n FROM daily_parts";
    let lake = jobs.lake(&events, stale, "SELECT * FROM cravings").await;
    let found = rows(&lake, "SELECT local_date, n, sum_intensity FROM daily_now").await;
    assert_eq!(found, [json!(["2026-11-01", 2, 12.0])]);
    // And one that silver no longer holds is gone, though gold still counts it.
    let lake =
        jobs.lake(&events, "SELECT * FROM daily_parts", "SELECT * FROM cravings WHERE event_id = 'a'").await;
    assert_eq!(rows(&lake, "SELECT n, sum_intensity FROM daily_now").await, [json!([1, 4.0])]);
}

#[tokio::test]
async fn local_days_at_both_ends_of_the_earth_and_in_nights_that_change_clocks() {
    let jobs = Jobs::parse().await;
    let zoned = |id: &str, at: &str, offset: Option<i64>, tz: Option<&str>| Event {
        offset_min: offset,
        tz: tz.map(Into::into),
        user: offset.map_or_else(|| "berlin".into(), |o| format!("at{o}")),
        ..craving(id, at, 5)
    };
    let events = [
        // One local day at UTC−12 is noon to noon in UTC, at UTC+14 10:00 to 10:00.
        zoned("w1", "2026-11-01T12:00:00Z", Some(-720), None),
        zoned("w2", "2026-11-02T11:59:59Z", Some(-720), None),
        zoned("w3", "2026-11-02T12:00:00Z", Some(-720), None),
        zoned("e1", "2026-11-01T09:59:59Z", Some(840), None),
        zoned("e2", "2026-11-01T10:00:00Z", Some(840), None),
        zoned("e3", "2026-11-02T09:59:59Z", Some(840), None),
        // The 25 October 2026 lasts 25 hours in Berlin, from 22:00 to 23:00 UTC.
        zoned("b1", "2026-10-24T21:59:59Z", None, Some("Europe/Berlin")),
        zoned("b2", "2026-10-24T22:00:00Z", None, Some("Europe/Berlin")),
        zoned("b3", "2026-10-25T22:59:59Z", None, Some("Europe/Berlin")),
        zoned("b4", "2026-10-25T23:00:00Z", None, Some("Europe/Berlin")),
        // The 29 March lasts 23 hours, from 23:00 to 22:00 UTC.
        zoned("s1", "2026-03-28T22:59:59Z", None, Some("Europe/Berlin")),
        zoned("s2", "2026-03-28T23:00:00Z", None, Some("Europe/Berlin")),
        zoned("s3", "2026-03-29T21:59:59Z", None, Some("Europe/Berlin")),
        zoned("s4", "2026-03-29T22:00:00Z", None, Some("Europe/Berlin")),
    ];
    let expected = [
        json!(["at-720", "2026-11-01", 2]),
        json!(["at-720", "2026-11-02", 1]),
        json!(["at840", "2026-11-01", 1]),
        json!(["at840", "2026-11-02", 2]),
        json!(["berlin", "2026-03-28", 1]),
        json!(["berlin", "2026-03-29", 2]),
        json!(["berlin", "2026-03-30", 1]),
        json!(["berlin", "2026-10-24", 1]),
        json!(["berlin", "2026-10-25", 2]),
        json!(["berlin", "2026-10-26", 1]),
    ];
    for closed in ["2026-01-01", "2026-11-02", "2026-12-01"] {
        let lake = jobs.drained(&events, &format!("{closed}T00:00:00")).await;
        let sql = "SELECT user_id, local_date, n FROM daily_now ORDER BY user_id, local_date";
        assert_eq!(rows(&lake, sql).await, expected, "closed at {closed}");
    }
    let closed = jobs.drained(&events, "2026-12-01T00:00:00").await;
    let sql = "SELECT user_id, local_date, n FROM daily WHERE kind = 'craving' ORDER BY user_id, local_date";
    assert_eq!(rows(&closed, sql).await, expected);
}

#[tokio::test]
async fn daily_adds_up_each_kind() {
    let events = [
        Event { offset_min: Some(-300), ..sample("a", "hrv_sdnn_ms", "2026-11-01T23:00:00Z", 40.0) },
        Event { offset_min: Some(-300), ..sample("b", "hrv_sdnn_ms", "2026-11-02T01:00:00Z", 60.0) },
        Event { offset_min: Some(-300), ..sample("c", "hrv_rmssd_ms", "2026-11-02T01:00:00Z", 30.0) },
        event("d", "lapse", "2026-11-01T12:00:00Z", json!({ "craving": "sugar" })),
    ];
    let lake = Jobs::parse().await.drained(&events, "2026-12-01T00:00:00").await;
    let sql = "SELECT local_date, kind, craving, n, value_n, mean_value, min_value, max_value, evening_n FROM daily ORDER BY kind";
    let found = rows(&lake, sql).await;
    let expected = [
        json!(["2026-11-01", "hrv_rmssd_ms", "", 1, 1, 30.0, 30.0, 30.0, 1]),
        json!(["2026-11-01", "hrv_sdnn_ms", "", 2, 2, 50.0, 40.0, 60.0, 2]),
        json!(["2026-11-01", "lapse", "sugar", 1, 0, null, null, null, 0]),
    ];
    assert_eq!(found, expected);
}
