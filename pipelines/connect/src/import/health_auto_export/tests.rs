use chrono::TimeZone as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::import::{ImportItem, Reason};

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 1, 12, 0, 0).unwrap()
}

fn user() -> UserId {
    UserId::new("u1").unwrap()
}

fn read(text: &str) -> Vec<ImportItem> {
    items(text.as_bytes(), &user(), now()).collect()
}

fn metric(name: &str, units: &str, point: &Value) -> String {
    json!({"data": {"metrics": [{"name": name, "units": units, "data": [point]}]}}).to_string()
}

const DATE: &str = "2024-02-06 14:30:00 -0800";

#[test]
fn points_become_events() {
    let qty = |value: f64| json!({"date": DATE, "qty": value, "source": "Ana’s Watch|iPhone"});
    for (name, units, point, kind, payload) in [
        (
            "heart_rate",
            "bpm",
            json!({"date": DATE, "Min": 65, "Avg": 72.5, "Max": 85}),
            "heart_rate_bpm",
            json!({"value": 72.5}),
        ),
        (
            "heart_rate",
            "count/min",
            json!({"date": DATE, "Avg": 72}),
            "heart_rate_bpm",
            json!({"value": 72.0}),
        ),
        ("resting_heart_rate", "bpm", qty(58.0), "resting_heart_rate_bpm", json!({"value": 58.0})),
        ("heart_rate_variability", "ms", qty(41.25), "hrv_sdnn_ms", json!({"value": 41.25})),
        ("Heart Rate Variability", "ms", qty(41.25), "hrv_sdnn_ms", json!({"value": 41.25})),
        ("heart_rate_variability_rmssd", "ms", qty(20.0), "hrv_rmssd_ms", json!({"value": 20.0})),
        ("step_count", "count", qty(812.0), "steps", json!({"value": 812.0})),
        ("walking_running_distance", "km", qty(1.5), "distance_m", json!({"value": 1500.0})),
        ("mindful_minutes", "min", qty(10.0), "mindful", json!({"duration_s": 600})),
        (
            "sleep_analysis",
            "hr",
            json!({"date": "2024-02-06", "totalSleep": 7.5, "asleep": 7.0, "core": 3.5, "deep": 1.5, "rem": 2.0, "awake": 0.0,
                "sleepStart": "2024-02-05 23:00:00 -0800", "sleepEnd": "2024-02-06 06:30:00 -0800", "inBed": 8.0}),
            "sleep",
            json!({"stages": [{"stage": "in_bed", "duration_s": 28800}, {"stage": "core", "duration_s": 12600},
                {"stage": "deep", "duration_s": 5400}, {"stage": "rem", "duration_s": 7200}]}),
        ),
        (
            "sleep_analysis",
            "hr",
            json!({"date": "2024-02-06", "asleep": 0, "totalSleep": 7.5, "sleepStart": "2024-02-05 23:00:00 -0800"}),
            "sleep",
            json!({"stages": [{"stage": "asleep", "duration_s": 27000}]}),
        ),
        (
            "sleep_analysis",
            "hr",
            json!({"startDate": "2024-02-05 23:00:00 -0800", "endDate": "2024-02-05 23:30:00 -0800", "qty": 0.5, "value": "Core"}),
            "sleep",
            json!({"stages": [{"stage": "core", "duration_s": 1800}]}),
        ),
    ] {
        let items = read(&metric(name, units, &point));
        let event = items[0].what.as_ref().unwrap_or_else(|r| panic!("{name}: {r}"));
        assert_eq!((event.kind.as_str(), event.payload.to_value()), (kind, payload), "{name}");
        assert_eq!(event.tz_offset_min, Some(-480));
        assert_eq!(items.len(), 1);
    }
}

#[test]
fn bad_points_are_refused_by_reason_and_the_next_is_read() {
    let good = json!({"date": DATE, "qty": 58});
    for (point, field, reason) in [
        (json!({"date": DATE}), "qty", "missing"),
        (json!({"date": DATE, "qty": null}), "qty", "missing"),
        (json!({"date": DATE, "qty": "58"}), "qty", "bad_number"),
        (json!({"date": DATE, "qty": 900}), "payload.value", "invalid"),
        (json!({"qty": 58}), "date", "missing"),
        (json!({"date": "6 Feb", "qty": 58}), "date", "bad_time"),
        (json!({"date": "2024-02-06 14:30:00", "qty": 58}), "date", "bad_time"),
        (json!({"date": "2124-02-06 14:30:00 +0000", "qty": 58}), "event_time", "future"),
        (json!(58), "", "malformed"),
        (json!({"x": "y".repeat(70_000)}), "", "too_large"),
    ] {
        let text = json!({"data": {"metrics": [{"name": "resting_heart_rate", "units": "bpm", "data": [point, good]}]}});
        let items = read(&text.to_string());
        let rejected = items[0].what.as_ref().unwrap_err();
        assert_eq!((rejected.field.as_str(), rejected.reason.as_str()), (field, reason), "{rejected}");
        assert!(items[1].what.is_ok() && items.len() == 2);
    }
    for (name, units, reason) in
        [("weight_body_mass", "kg", "unsupported_type"), ("walking_running_distance", "parsec", "bad_unit")]
    {
        let items = read(&metric(name, units, &good));
        assert_eq!(items[0].what.as_ref().unwrap_err().reason.as_str(), reason);
    }
    let snooze = json!({"startDate": DATE, "endDate": DATE, "value": "Snoozing"});
    assert_eq!(
        read(&metric("sleep_analysis", "hr", &snooze))[0].what.as_ref().unwrap_err().reason,
        Reason::Value
    );
}

#[test]
fn workouts_of_both_versions_are_read() {
    let v1 = json!({"name": "Running", "start": DATE, "end": "2024-02-06 15:00:00 -0800", "activeEnergy": {"qty": 418.4, "units": "kJ"},
        "distance": {"qty": 1, "units": "mi"}});
    let v2 = json!({"id": "0EEA1E9E-C117-4BF7-A170-5C0B942CB69A", "name": "Running", "start": DATE, "end": "2024-02-06 15:00:00 -0800",
        "duration": 1800, "activeEnergyBurned": {"qty": 100, "units": "kcal"}, "distance": {"qty": 1.609344, "units": "km"},
        "activeEnergy": [{"date": DATE, "qty": 50, "units": "kcal"}], "heartRateData": [], "route": [{"latitude": 1.0}]});
    for workout in [v1, v2] {
        let items = read(&json!({"data": {"metrics": [], "workouts": [workout]}}).to_string());
        let payload = items[0].what.as_ref().unwrap().payload.to_value();
        assert_eq!((&payload["activity"], &payload["duration_s"]), (&json!("running"), &json!(1800)));
        assert!((payload["energy_kcal"].as_f64().unwrap() - 100.0).abs() < 1e-9);
        assert!((payload["distance_m"].as_f64().unwrap() - 1609.344).abs() < 1e-9);
    }
}

/// The app writes members in any order; other sections are counted, not lost.
const ANY_ORDER: &str = r#"{"data": {"stateOfMind": [{"valence": 0.5}, 7], "workouts": null,
    "metrics": [
        {"data": [{"date": "2024-02-06 14:30:00 -0800", "qty": 58}, {"qty": 59, "date": "2024-02-06 14:31:00 -0800"}],
         "units": "bpm", "extra": {"a": [1, "]}"]}, "name": "resting_heart_rate"},
        {"name": "step_count", "data": [{"date": "2024-02-06 14:30:00 -0800", "qty": 12}]},
        {"data": [{"date": "2024-02-06 14:30:00 -0800", "qty": 12}]},
        17]}}"#;

#[test]
fn members_may_come_in_any_order() {
    let report = parse_bytes(ANY_ORDER.as_bytes(), &user(), now());
    assert!(report.complete && report.sums_up(), "{report:?}");
    assert_eq!((report.read, report.accepted), (7, 3));
    let refused = [("malformed", 1), ("missing", 1), ("unsupported_type", 2)];
    assert_eq!(report.refused, refused.map(|(name, n)| (name.to_owned(), n)).into());
}

#[test]
fn a_second_import_adds_nothing() {
    let ids =
        || read(ANY_ORDER).into_iter().filter_map(|i| i.what.ok()).map(|e| e.event_id).collect::<Vec<_>>();
    assert_eq!(ids(), ids());
}

#[test]
fn a_file_cut_anywhere_says_so() {
    for cut in 0..ANY_ORDER.len() {
        let report = parse_bytes(&ANY_ORDER.as_bytes()[..cut], &user(), now());
        assert!(!report.complete && report.sums_up(), "cut at {cut}: {report:?}");
        let named = ANY_ORDER.find("resting_heart_rate").unwrap() + 20;
        assert!(report.accepted >= if cut > named { 2 } else { 0 }, "cut at {cut}: {report:?}");
    }
}

#[test]
fn what_is_no_export_says_so() {
    let deep = format!("{{\"data\": {{\"x\": {}", "[".repeat(100_000));
    for text in [
        "",
        "[]",
        "null",
        "{}",
        "{\"a\": 1}",
        "hello",
        "{\"data\" 1}",
        "{\"data\": {\"metrics\": [,]}}",
        &deep,
    ] {
        let items = read(text);
        let last = items.last().unwrap_or_else(|| panic!("no item: {text}")).what.as_ref().unwrap_err();
        assert!(last.last, "{text}");
    }
    assert!(parse_bytes("\u{feff}{\"data\": {}}".as_bytes(), &user(), now()).complete);
    assert!(parse_bytes(b"{\"metrics\": []}", &user(), now()).complete);
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse_bytes(&bytes, &user(), now()).sums_up());
    }

    #[test]
    fn a_changed_byte_gets_an_answer(at in 0usize..ANY_ORDER.len(), byte in any::<u8>()) {
        let mut bytes = ANY_ORDER.as_bytes().to_vec();
        bytes[at] = byte;
        prop_assert!(parse_bytes(&bytes, &user(), now()).sums_up());
    }
}
