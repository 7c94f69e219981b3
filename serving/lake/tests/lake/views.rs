//! `craving_hrv`, `trends`, `features` and the named queries against rows worked out by hand.

use crate::support::{Event, Jobs, craving, event, rows, sample};
use chrono::{DateTime, TimeDelta, Utc};
use crave_lake::Query;
use datafusion::common::ScalarValue;
use serde_json::{Value, json};

const SDNN: &str = "hrv_sdnn_ms";
const RMSSD: &str = "hrv_rmssd_ms";

#[tokio::test]
async fn the_last_sample_of_each_measure_within_six_hours() {
    let jobs = Jobs::parse().await;
    let mut events = vec![
        sample("s1", SDNN, "2026-11-01T08:00:00Z", 40.0),
        sample("s2", SDNN, "2026-11-01T09:00:00Z", 50.0),
        sample("r1", RMSSD, "2026-11-01T04:00:00Z", 30.0),
        craving("c1", "2026-11-01T10:00:00Z", 5),
        // Six hours to the second, and one second more.
        craving("c2", "2026-11-01T15:00:00Z", 5),
        craving("c3", "2026-11-01T15:00:01Z", 5),
        // At the same instant counts; what comes after does not.
        sample("s3", SDNN, "2026-11-02T10:00:00Z", 60.0),
        craving("c4", "2026-11-02T10:00:00Z", 5),
        sample("r2", RMSSD, "2026-11-02T10:00:01Z", 35.0),
        // Somebody else's sample.
        Event { user: "bob".into(), ..sample("s4", SDNN, "2026-11-03T10:00:00Z", 99.0) },
        craving("c5", "2026-11-03T10:30:00Z", 5),
        // A sample without a number does not hide the one before it.
        sample("s5", SDNN, "2026-11-04T10:00:00Z", 70.0),
        event("s6", SDNN, "2026-11-04T10:10:00Z", json!({ "value": "?" })),
        craving("c6", "2026-11-04T10:30:00Z", 5),
    ];
    let sql = "SELECT event_id, sdnn_ms, sdnn_event_id, rmssd_ms, rmssd_event_id FROM craving_hrv ORDER BY event_id";
    let mut expected = [
        json!(["c1", 50.0, "s2", 30.0, "r1"]),
        json!(["c2", 50.0, "s2", null, null]),
        json!(["c3", null, null, null, null]),
        json!(["c4", 60.0, "s3", null, null]),
        json!(["c5", null, null, null, null]),
        json!(["c6", 70.0, "s5", null, null]),
    ];
    let lake = jobs.drained(&events, "2026-12-01T00:00:00").await;
    assert_eq!(rows(&lake, sql).await, expected);
    // A sample that comes hours later, and one that is corrected or retracted, shows at once.
    events.push(sample("s7", SDNN, "2026-11-03T10:00:00Z", 45.0));
    events.push(event("x1", "retract", "2026-11-05T00:00:00Z", json!({ "target": "s2" })));
    events.push(event("x2", "correct", "2026-11-05T00:00:00Z", json!({
        "target": "s3", "revision": 1, "kind": SDNN, "event_time": "2026-11-02T09:00:00Z", "body": { "value": 61.0 } })));
    expected[0] = json!(["c1", 40.0, "s1", 30.0, "r1"]);
    expected[1] = json!(["c2", null, null, null, null]);
    expected[3] = json!(["c4", 61.0, "s3", null, null]);
    expected[4] = json!(["c5", 45.0, "s7", null, null]);
    let lake = jobs.drained(&events, "2026-12-01T00:00:00").await;
    assert_eq!(rows(&lake, sql).await, expected);
}

/// Sugar on `days` consecutive days from `first` on, at 22:00, `step` days apart.
fn evenings(name: &str, first: &str, days: i64, step: i64, intensity: i64) -> Vec<Event> {
    let first: DateTime<Utc> = format!("{first}T22:00:00Z").parse().unwrap();
    let at = |i: i64| (first + TimeDelta::days(i * step)).to_rfc3339();
    (0..days / step).map(|i| craving(&format!("{name}{i}"), &at(i), intensity)).collect()
}

#[tokio::test]
async fn months_seasons_and_half_years_in_a_sentence() {
    let jobs = Jobs::parse().await;
    // Dec 2025–May 2026: every 4th of 182 days; Jun–Nov: every 2nd of 183; one sign of life on the last day.
    let mut events = evenings("a", "2025-12-01", 182, 4, 4);
    events.extend(evenings("b", "2026-06-01", 182, 2, 6));
    events.push(sample("s", SDNN, "2026-11-30T12:00:00Z", 50.0));
    for closed in ["2026-03-15", "2026-12-10"] {
        let lake = jobs.drained(&events, &format!("{closed}T00:00:00")).await;
        let sql = "SELECT period_start, period_end, observed_end, n, n_before, busiest_part, busiest_share, mean_intensity, marker
                   FROM trends WHERE grain = 'half_year' ORDER BY period_start";
        let mut found = rows(&lake, sql).await;
        if closed == "2026-03-15" {
            // The sign of life is not in gold yet: seen until the last craving, on 28 November.
            assert_eq!(found.pop().unwrap()[2], "2026-11-29");
            continue;
        }
        let first = "Dec 2025–May 2026: sugar cravings 1.7/week, 100 % between 21:00 and 24:00, mean intensity 4.0 (n = 45)";
        let second = "Jun–Nov 2026: sugar cravings 3.5/week, up 101 % on the six months before, 100 % between 21:00 and 24:00, \
                      mean intensity 6.0 (n = 91)";
        let expected = [
            json!(["2025-12-01", "2026-06-01", "2026-06-01", 45, null, "late_evening", 1.0, 4.0, first]),
            json!(["2026-06-01", "2026-12-01", "2026-12-01", 91, 45, "late_evening", 1.0, 6.0, second]),
        ];
        assert_eq!(found, expected);
        let sql = "SELECT period_start, n, n_before FROM trends WHERE grain = 'season' ORDER BY period_start";
        let expected = [
            json!(["2025-12-01", 23, null]),
            json!(["2026-03-01", 22, 23]),
            json!(["2026-06-01", 46, 22]),
            json!(["2026-09-01", 45, 46]),
        ];
        assert_eq!(rows(&lake, sql).await, expected);
        let sql = "SELECT n, per_week, per_week_before, change_pct FROM trends WHERE grain = 'month' AND period_start = DATE '2026-06-01'";
        // 15 in 30 days after 7 in 31.
        let (now, before) = (15.0 * 7.0 / 30.0, 7.0 * 7.0 / 31.0);
        let found = rows(&lake, sql).await;
        let near = |value: &Value, to: f64| (value.as_f64().unwrap() - to).abs() < 1e-9;
        assert!(found[0][0] == 15 && near(&found[0][1], now), "{found:?}");
        assert!(near(&found[0][2], before) && near(&found[0][3], (now / before - 1.0) * 100.0), "{found:?}");
    }
}

#[tokio::test]
async fn a_period_that_has_only_begun_is_rated_by_its_days_and_few_days_say_nothing() {
    let jobs = Jobs::parse().await;
    // Begins on 11 November, ends on the 20th: 10 days observed, one craving a day; another person has 4 in all.
    let mut events = evenings("a", "2026-11-11", 10, 1, 5);
    events
        .extend(evenings("b", "2026-11-11", 4, 1, 5).into_iter().map(|e| Event { user: "bob".into(), ..e }));
    let lake = jobs.drained(&events, "2026-11-20T00:00:00").await;
    let sql = "SELECT DISTINCT user_id, n, observed_days, per_week, change_pct, marker FROM trends";
    let marker = "11 Nov – 20 Nov 2026: sugar cravings 7.0/week, 100 % between 21:00 and 24:00, mean intensity 5.0 (n = 10)";
    assert_eq!(rows(&lake, sql).await, [json!(["ann", 10, 10, 7.0, null, marker])]);
    // Retracted, it says nothing any more.
    for i in 0..6 {
        let target = json!({ "target": format!("a{i}") });
        events.push(event(&format!("x{i}"), "retract", "2026-11-20T23:00:00Z", target));
    }
    let lake = jobs.drained(&events, "2026-11-20T00:00:00").await;
    assert!(rows(&lake, sql).await.is_empty());
}

#[tokio::test]
async fn features_of_a_person() {
    let rich = |id: &str, at: &str, payload: Value| event(id, "craving", at, payload);
    let events = [
        // Saturday 22:00 and Sunday 02:00 in winter, Monday 10:00 and Tuesday 15:00 in spring; one point a week.
        rich(
            "c1",
            "2026-02-07T22:00:00Z",
            json!({ "craving": "alcohol", "intensity": 4, "trigger": "work stress", "company": "friends", "resisted": false }),
        ),
        rich(
            "c2",
            "2026-02-15T02:00:00Z",
            json!({ "craving": "alcohol", "intensity": 5, "trigger": "party", "company": "alone", "resisted": true }),
        ),
        rich(
            "c3",
            "2026-03-02T10:00:00Z",
            json!({ "craving": "sugar", "intensity": 7, "trigger": "boredom" }),
        ),
        rich("c4", "2026-03-10T15:00:00Z", json!({ "craving": "alcohol", "intensity": 8 })),
        sample("s1", SDNN, "2026-02-07T16:00:00Z", 40.0),
        sample("s2", SDNN, "2026-02-07T22:00:00Z", 50.0),
        sample("s3", SDNN, "2026-02-07T15:59:59Z", 80.0),
        sample("s4", SDNN, "2026-02-08T08:00:00Z", 90.0),
        sample("r1", RMSSD, "2026-03-02T09:00:00Z", 20.0),
    ];
    let lake = Jobs::parse().await.drained(&events, "2026-12-01T00:00:00").await;
    let sql = "SELECT n, first_date, last_date, craving_days, mean_intensity, top_craving, top_craving_share, night_share, weekend_share,
                      triggered_n, round(stress_share * 3) AS stress, round(boredom_share * 3) AS boredom, round(social_share * 3) AS social,
                      company_n, accompanied_share, answered_n, resisted_share, winter_share, spring_share, summer_share, autumn_share,
                      sdnn_before_n, sdnn_before_ms, sdnn_otherwise_n, sdnn_otherwise_ms, rmssd_before_n, rmssd_before_ms,
                      rmssd_otherwise_n, rmssd_otherwise_ms
               FROM features";
    let expected = json!([
        4,
        "2026-02-07",
        "2026-03-10",
        4,
        6.0,
        "alcohol",
        0.75,
        0.5,
        0.5,
        3,
        1.0,
        1.0,
        1.0,
        2,
        0.5,
        2,
        0.5,
        0.5,
        0.5,
        0.0,
        0.0,
        2,
        45.0,
        2,
        85.0,
        1,
        20.0,
        0,
        null
    ]);
    assert_eq!(rows(&lake, sql).await, [expected]);
    // Least squares by hand: days since the first craving 0, 7.1667, 22.5, 30.7083.
    let t = [0.0, 7.0 + 4.0 / 24.0, 22.5, 30.0 + 17.0 / 24.0].map(|days: f64| days / 7.0);
    let y = [4.0, 5.0, 7.0, 8.0];
    let mean = t.iter().sum::<f64>() / 4.0;
    let slope = t.iter().zip(y).map(|(t, y)| (t - mean) * (y - 6.0)).sum::<f64>()
        / t.iter().map(|t| (t - mean).powi(2)).sum::<f64>();
    let found = rows(&lake, "SELECT intensity_slope_per_week FROM features").await;
    assert!((found[0][0].as_f64().unwrap() - slope).abs() < 1e-6, "{found:?} {slope}");
}

#[tokio::test]
async fn weight_fades_with_age() {
    let events = [
        craving("new", "2026-11-01T10:00:00Z", 4),
        // 30 days: still full; 120 days: one half-life past them; years: the floor.
        craving("full", "2026-10-02T10:00:00Z", 4),
        craving("half", "2026-07-04T10:00:00Z", 8),
        craving("old", "2016-01-01T10:00:00Z", 10),
        craving("later", "2026-12-24T10:00:00Z", 10),
    ];
    let lake = Jobs::parse().await.drained(&events, "2026-10-20T00:00:00").await;
    let at = ScalarValue::TimestampMicrosecond(
        Some(crate::support::us("2026-11-01T20:00:00Z")),
        Some("UTC".into()),
    );
    let frame =
        lake.sql(Query::LongTermRecency.sql()).await.unwrap().with_param_values(vec![("as_of", at)]).unwrap();
    let batches = frame.collect().await.unwrap();
    let found: Value = serde_json::from_slice(&crave_lake::to_json_rows(&batches).unwrap()).unwrap();
    assert_eq!(
        (&found[0]["n"], &found[0]["first_date"], &found[0]["last_date"]),
        (&json!(4), &json!("2016-01-01"), &json!("2026-11-01"))
    );
    let near = |name: &str, to: f64| (found[0][name].as_f64().unwrap() - to).abs() < 1e-9;
    assert!(near("weighted_n", 2.55), "{found}");
    assert!(near("weighted_intensity", (4.0 + 4.0 + 0.5 * 8.0 + 0.05 * 10.0) / 2.55), "{found}");
}

#[tokio::test]
async fn the_newest_samples_of_a_dense_year_are_drawn() {
    let samples: Vec<_> = (0..20_010)
        .map(|minute| Event {
            at_us: crate::support::us("2026-11-01T00:00:00Z") + minute * 60_000_000,
            ..sample(&format!("s{minute:05}"), SDNN, "2026-11-01T00:00:00Z", 40.0)
        })
        .collect();
    let lake = Jobs::parse().await.drained(&samples, "2026-11-01T00:00:00").await;
    let at =
        |text: &str| ScalarValue::TimestampMicrosecond(Some(crate::support::us(text)), Some("UTC".into()));
    let frame = lake.sql(Query::Hrv.sql()).await.unwrap();
    let frame = frame
        .with_param_values(vec![("since", at("2026-10-01T00:00:00Z")), ("as_of", at("2026-12-01T00:00:00Z"))])
        .unwrap();
    lake.register_table("drawn", frame.into_view()).unwrap();
    let found = rows(&lake, "SELECT count(*) AS n, CAST(min(event_time) AS BIGINT) AS first, CAST(max(event_time) AS BIGINT) AS last FROM drawn").await;
    let minute = |n: i64| crate::support::us("2026-11-01T00:00:00Z") + n * 60_000_000;
    assert_eq!(found, [json!([20_000, minute(10), minute(20_009)])]);
}
