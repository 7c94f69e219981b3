//! Real data through the log into the tables: counts to the last row, means equal to an independent script's.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use serde_json::Value;

use crate::support::{crave, objects, sql, verify};

/// `../shared/data`, where the workplace has it.
fn data() -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data"));
    if !path.is_dir() {
        println!("skipped: no sample data beside this checkout");
        return None;
    }
    Some(path)
}

fn import(home: &std::path::Path, args: &[&str]) -> Value {
    let (code, text) = crave(home, &[&["--json", "import"], args].concat());
    assert_eq!(code, 0, "{text}");
    let report = objects(&text).remove(0);
    let refused: u64 = report["refused"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    let sum = report["accepted"].as_u64().unwrap() + report["duplicate"].as_u64().unwrap() + refused;
    assert_eq!(report["read"].as_u64().unwrap(), sum, "{report}");
    report
}

#[test]
fn welltory_and_apple_health_reconcile() {
    let Some(data) = data() else { return };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let csv = data.join("welltory/hrv_measurements.csv");
    let map = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/connect/maps/welltory-hrv.toml");
    let welltory = ["csv", csv.to_str().unwrap(), "--map", map];
    let first = import(home, &welltory);
    let xml = data.join("apple-health/export6s3sample.xml");
    let apple = import(home, &["apple-health", xml.to_str().unwrap(), "--user", "apple-sample"]);

    // read = events + duplicates + dead, to the last row.
    let stored = sql(home, "SELECT count(*) AS n FROM events")[0]["n"].as_u64().unwrap();
    let accepted = |report: &Value| report["accepted"].as_u64().unwrap();
    assert_eq!(stored, accepted(&first) + accepted(&apple));
    assert_eq!(crave(home, &["--json", "dead", "list"]).1, "", "nothing acknowledged was refused");

    // A second import adds nothing.
    let second = import(home, &welltory);
    assert_eq!((second["accepted"].as_u64(), &second["duplicate"]), (Some(0), &first["accepted"]));

    // Means a user, against a script that knows nothing of this program.
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines/connect/tests/welltory_means.py");
    let output = Command::new("python3").arg(script).arg(&csv).output().unwrap();
    assert!(output.status.success());
    let expected: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = sql(
        home,
        "SELECT user_id, kind, avg(CAST(get_first_json_object(payload, '$.value') AS DOUBLE)) AS mean
         FROM events_current WHERE kind IN ('hrv_sdnn_ms', 'hrv_rmssd_ms') GROUP BY user_id, kind",
    );
    let found: BTreeMap<_, _> = rows
        .iter()
        .map(|r| ((r["user_id"].as_str().unwrap(), r["kind"].as_str().unwrap()), r["mean"].as_f64().unwrap()))
        .collect();
    let mut compared = 0;
    for (user, means) in expected["users"].as_object().unwrap() {
        for (column, kind) in [("sdnn", "hrv_sdnn_ms"), ("rmssd", "hrv_rmssd_ms")] {
            let Some(mean) = means[column]["mean"].as_f64() else { continue };
            let ours = found[&(user.as_str(), kind)];
            assert!((ours - mean).abs() <= 1e-9 * mean.abs(), "{user} {kind}: {ours} against {mean}");
            compared += 1;
        }
    }
    assert_eq!(compared, found.len(), "every user and measure is compared");
    assert!(compared > 100);

    // The four CSVs beside the Apple sample: steps, distances, workout, activity rings.
    let kinds = sql(
        home,
        "SELECT kind, count(*) AS n FROM events WHERE user_id = 'apple-sample' GROUP BY kind ORDER BY kind",
    );
    let counts: Vec<_> =
        kinds.iter().map(|r| (r["kind"].as_str().unwrap(), r["n"].as_u64().unwrap())).collect();
    let lines = |name: &str| {
        std::fs::read_to_string(data.join("apple-health").join(name)).unwrap().lines().count() as u64 - 1
    };
    let csvs = [
        ("activity_summary", lines("ActivitySummary.csv")),
        ("distance_m", lines("DistanceWalkingRunning.csv")),
        ("steps", lines("StepCount.csv")),
        ("workout", lines("Workout.csv")),
    ];
    assert_eq!(counts, csvs);
    verify(home);
}

#[test]
fn simulated_people_are_found_as_planted() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    // Six people: among them UTC+14 and UTC−12, DST zones, corrections, retractions, late and repeated uploads.
    let (code, text) = crave(home, &["--json", "simulate", "--users", "6", "--days", "120", "--seed", "11"]);
    assert_eq!(code, 0);
    let report = objects(&text).remove(0);
    let truth: Value =
        serde_json::from_slice(&std::fs::read(report["truth"].as_str().unwrap()).unwrap()).unwrap();
    let users = truth["users"].as_array().unwrap();
    let total = |name: &str| users.iter().map(|u| u[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(report["accepted"].as_u64().unwrap(), total("distinct"));
    assert_eq!(report["duplicate"].as_u64().unwrap(), total("duplicates"));
    assert_eq!(sql(home, "SELECT count(*) AS n FROM events")[0]["n"].as_u64().unwrap(), total("distinct"));
    let rows = verify(home);
    assert!(rows.iter().all(|(_, rows)| *rows > 0), "every gold table has closed windows: {rows:?}");

    for user in users {
        let id = user["user_id"].as_str().unwrap();
        let by_hour = sql(
            home,
            &format!(
                "SELECT local_hour, count(*) AS n FROM cravings WHERE user_id = '{id}' GROUP BY local_hour"
            ),
        );
        let mut found = [0_u64; 24];
        for row in &by_hour {
            found[usize::try_from(row["local_hour"].as_u64().unwrap()).unwrap()] = row["n"].as_u64().unwrap();
        }
        let planted: Vec<u64> =
            user["current"]["by_hour"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        assert_eq!(found.as_slice(), planted, "{id}: cravings by local hour, corrections applied");
        let sums = sql(
            home,
            &format!("SELECT coalesce(sum(intensity), 0) AS total FROM cravings WHERE user_id = '{id}'"),
        );
        assert_eq!(sums[0]["total"], user["current"]["intensity_sum"], "{id}");
    }
}
