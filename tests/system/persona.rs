//! `crave persona` and `crave emotion`: the planted habit is named with its evidence, and notes are labelled.

use std::{io::Write as _, process::Stdio};

use serde_json::{Value, json};

use crate::support::{binary, crave, objects, sql};

#[test]
fn the_planted_habit_is_named_with_its_evidence() {
    let home = tempfile::tempdir().unwrap();
    let (code, _) = crave(home.path(), &["simulate", "--users", "1", "--days", "120", "--seed", "7"]);
    assert_eq!(code, 0);
    let of = |user: &str| -> Value {
        let (code, text) = crave(home.path(), &["--json", "persona", "--user", user]);
        assert_eq!(code, 0, "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let persona = of("sim-0001-night-sugar");
    assert_eq!((&persona["archetype"], &persona["source"]), (&json!("nighttime_binger"), &json!("data")));
    assert!(persona["confidence"].as_f64().unwrap() > 0.9, "{persona}");
    let ids = sql(home.path(), "SELECT event_id FROM cravings WHERE craving = 'sugar'");
    for seen in persona["evidence"]["signs"].as_array().unwrap() {
        for id in seen["rows"].as_array().unwrap() {
            assert!(ids.iter().any(|row| row["event_id"] == *id), "{seen}");
        }
    }
    assert!(persona["by_month"].as_array().unwrap().len() >= 4, "{persona}");
    let nobody = of("nobody");
    assert_eq!(nobody["evidence"], json!({ "unknown": "few_cravings" }));
}

#[test]
fn each_line_is_labelled() {
    let home = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.arg("--home").arg(home.path()).args(["--json", "emotion"]).env_remove("CRAVE_MODELS");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = "I'm so stressed at the office, I want chocolate\n\nMy sister was sad.\n";
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let read = objects(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(read.len(), 3);
    assert_eq!((&read[0]["line"], &read[0]["craving"]["label"]), (&json!(1), &json!("present")));
    assert_eq!(read[0]["craved"][0]["label"], "sugar");
    assert_eq!((&read[1]["craving"]["label"], &read[1]["emotions"]), (&json!("none"), &json!([])));
    assert_eq!(read[2]["emotions"], json!([]));
    for line in &read {
        assert!(line["model_version"].as_str().unwrap().ends_with("/words"), "{line}");
        assert!(line["importance"].is_number() && line["confidence"]["calm"].is_number(), "{line}");
    }
}
