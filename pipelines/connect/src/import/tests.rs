//! Real exports, read whole. Skipped with a note where `../shared/data` is absent.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::process::Command;

use chrono::{DateTime, TimeZone as _, Utc};
use crave_schemas::{Event, Kind, Payload, UserId};
use serde_json::Value;

use super::csv_map::{self, CsvMap};
use super::{ImportItem, ImportReport, apple_health, dry_run};

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 1, 12, 0, 0).unwrap()
}

fn manifest() -> PathBuf {
    // Set by cargo for the crate under test, wherever the tests run.
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of sample data, or a note that it is absent.
fn data(folder: &str) -> Option<PathBuf> {
    let path = std::env::var_os("CRAVE_SHARED_DATA")
        .map_or_else(|| manifest().join("../../../shared/data"), PathBuf::from)
        .join(folder);
    if !path.is_dir() {
        println!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

fn rows(path: PathBuf) -> Vec<BTreeMap<String, String>> {
    let mut csv = csv::Reader::from_path(path).unwrap();
    csv.deserialize().map(Result::unwrap).collect()
}

fn utc(written: &str) -> DateTime<Utc> {
    DateTime::parse_from_str(written, "%Y-%m-%d %H:%M:%S %z").unwrap().to_utc()
}

#[test]
fn the_apple_health_sample_matches_its_four_csvs_record_by_record() {
    let Some(folder) = data("apple-health") else { return };
    let file = std::fs::File::open(folder.join("export6s3sample.xml")).unwrap();
    let user = UserId::new("sample").unwrap();
    let text = apple_health::open(file).unwrap();
    let events: Vec<Event> = apple_health::items(text, &user, now()).map(|i| i.what.unwrap()).collect();
    let of = |kind: Kind| events.iter().filter(|e| e.kind == kind).cloned().collect::<Vec<_>>();
    let mut matched = 0;

    for (name, kind, factor) in
        [("StepCount", Kind::Steps, 1.0), ("DistanceWalkingRunning", Kind::DistanceM, 1_000.0)]
    {
        let (rows, events) = (rows(folder.join(format!("{name}.csv"))), of(kind));
        assert_eq!(rows.len(), events.len(), "{name}");
        for (row, event) in rows.iter().zip(&events) {
            let Payload::Tally(tally) = &event.payload else { panic!("not a tally") };
            let value: f64 = row["value"].parse().unwrap();
            assert!((tally.value - value * factor).abs() < 1e-9, "{name}");
            assert_eq!(event.event_time, utc(&row["startDate"]));
            let seconds = (utc(&row["endDate"]) - utc(&row["startDate"])).num_seconds();
            assert_eq!(tally.duration_s.map(i64::from), Some(seconds));
            assert_eq!(event.tz_offset_min, Some(60));
            assert_eq!(event.device_id.as_ref().unwrap().as_str(), row["sourceName"].to_lowercase());
            matched += 1;
        }
    }

    let (workouts, events) = (rows(folder.join("Workout.csv")), of(Kind::Workout));
    assert_eq!(workouts.len(), events.len());
    for (row, event) in workouts.iter().zip(&events) {
        let Payload::Workout(workout) = &event.payload else { panic!("not a workout") };
        assert_eq!(event.event_time, utc(&row["startDate"]));
        assert_eq!((row["durationUnit"].as_str(), row["totalDistanceUnit"].as_str()), ("min", "km"));
        assert_eq!(f64::from(workout.duration_s), (row["duration"].parse::<f64>().unwrap() * 60.0).round());
        assert_eq!(workout.distance_m.unwrap(), row["totalDistance"].parse::<f64>().unwrap() * 1_000.0);
        assert_eq!(workout.energy_kcal.unwrap(), row["totalEnergyBurned"].parse::<f64>().unwrap());
        assert_eq!(row["workoutActivityType"], "HKWorkoutActivityTypeOther");
        assert_eq!(workout.activity, "other");
        assert_eq!(event.app_version.as_deref(), Some(row["sourceVersion"].as_str()));
        matched += 1;
    }

    let (days, events_of_days) = (rows(folder.join("ActivitySummary.csv")), of(Kind::ActivitySummary));
    assert_eq!(days.len(), events_of_days.len());
    for (row, event) in days.iter().zip(&events_of_days) {
        let payload = event.payload.to_value();
        assert_eq!(payload["date"], Value::from(row["dateComponents"].as_str()));
        for (field, column) in [
            ("active_energy_kcal", "activeEnergyBurned"),
            ("active_energy_goal_kcal", "activeEnergyBurnedGoal"),
            ("exercise_min", "appleExerciseTime"),
            ("exercise_goal_min", "appleExerciseTimeGoal"),
            ("stand_h", "appleStandHours"),
            ("stand_goal_h", "appleStandHoursGoal"),
        ] {
            assert_eq!(payload[field].as_f64(), Some(row[column].parse().unwrap()), "{column}");
        }
        matched += 1;
    }
    // Nothing beside what the four files tell.
    assert_eq!(
        matched,
        of(Kind::Steps).len() + of(Kind::DistanceM).len() + events.len() + events_of_days.len()
    );
    let again = apple_health::open(std::fs::File::open(folder.join("export6s3sample.xml")).unwrap()).unwrap();
    let report = dry_run(apple_health::items(again, &user, now()));
    assert_eq!((report.read, report.accepted, report.complete), (18, 18, true));
}

fn welltory(folder: &std::path::Path, file: &str, map: &str) -> Vec<ImportItem> {
    let map = CsvMap::parse(&std::fs::read_to_string(manifest().join("maps").join(map)).unwrap()).unwrap();
    let file = std::fs::File::open(folder.join(file)).unwrap();
    csv_map::items(file, &map, None, now()).unwrap().collect()
}

fn counted(items: &[ImportItem]) -> ImportReport {
    let report = dry_run(items.iter().cloned());
    assert!(report.sums_up() && report.complete, "{report:?}");
    report
}

/// Mean and count of one kind by user, as the events tell.
fn means(items: &[ImportItem], kind: Kind) -> BTreeMap<String, (u64, f64)> {
    let mut sums: BTreeMap<String, (u64, f64)> = BTreeMap::new();
    let mut seen = HashSet::new();
    for event in items.iter().filter_map(|i| i.what.as_ref().ok()).filter(|e| e.kind == kind) {
        let Payload::Measure(measure) = &event.payload else { panic!("not a measure") };
        if seen.insert((event.user_id.clone(), event.event_id)) {
            let sum = sums.entry(event.user_id.to_string()).or_default();
            *sum = (sum.0 + 1, sum.1 + measure.value);
        }
    }
    sums.into_iter().map(|(user, (n, sum))| (user, (n, sum / n as f64))).collect()
}

#[test]
fn welltory_reconciles_to_the_last_row_and_its_means_are_those_of_an_independent_script() {
    let Some(folder) = data("welltory") else { return };
    let items = welltory(&folder, "hrv_measurements.csv", "welltory-hrv.toml");
    let report = counted(&items);

    let script = manifest().join("tests/welltory_means.py");
    let output = match Command::new("python3").arg(&script).arg(folder.join("hrv_measurements.csv")).output()
    {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: python3 does not run ({error})");
            return;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: Value = serde_json::from_slice(&output.stdout).unwrap();

    let number = |name: &str| expected[name].as_u64().unwrap();
    assert_eq!(report.records, number("rows"));
    assert_eq!(report.read, number("cells"));
    assert_eq!(report.accepted, number("distinct_cells"));
    assert_eq!(report.duplicate, number("cells") - number("distinct_cells"));
    assert!(report.refused.is_empty());
    for (kind, column) in
        [(Kind::HrvSdnnMs, "sdnn"), (Kind::HrvRmssdMs, "rmssd"), (Kind::HeartRateBpm, "bpm")]
    {
        let means = means(&items, kind);
        let users = expected["users"].as_object().unwrap();
        assert_eq!(means.len(), users.len());
        for (user, (n, mean)) in &means {
            assert_eq!(*n, users[user][column]["n"].as_u64().unwrap(), "{user} {column}");
            let wanted = users[user][column]["mean"].as_f64().unwrap();
            assert!((mean - wanted).abs() <= 1e-9 * wanted, "{user} {column}: {mean} is not {wanted}");
        }
    }
}

#[test]
fn the_other_welltory_files_reconcile_too() {
    let Some(folder) = data("welltory") else { return };
    let sleep = counted(&welltory(&folder, "sleep.csv", "welltory-sleep.toml"));
    assert_eq!((sleep.records, sleep.read), (425, 425));
    assert_eq!(sleep.accepted, 425, "{sleep:?}");

    let wearables = counted(&welltory(&folder, "wearables.csv", "welltory-wearables.toml"));
    assert_eq!(wearables.records, 3_098);
    assert_eq!(wearables.accepted, 1_515 + 1_968, "{wearables:?}");
    assert_eq!(wearables.refused.keys().collect::<Vec<_>>(), ["nothing_to_import"]);
}
