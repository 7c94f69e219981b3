//! A changed job: its table is built anew beside the old one, caught up, and switched by name; the others go on.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::support::{Dice, Server, craving, minutes_ago, token, verify};

const PATIENT: Duration = Duration::from_secs(60);
const DAY: i64 = 24 * 60;
const DAYS: &str = "SELECT n, CAST(sum_value AS BIGINT) AS sum FROM daily_parts ORDER BY window_start";

/// `daily_parts` with another meaning, and a column that the old one does not have.
fn changed() -> String {
    let sql = fs::read_to_string("sql/jobs/daily_parts.sql").unwrap();
    let sql = sql
        .replacen("sum(value) AS sum_value", "sum(value * 10) AS sum_value", 1)
        .replacen("  n BIGINT NOT NULL,", "  n BIGINT NOT NULL,\n  strong_n BIGINT NOT NULL,", 1)
        .replacen("       n, ", "       n, strong_n, ", 1)
        .replacen(
            "count(*) AS n,",
            "count(*) AS n, sum(CASE WHEN value >= 7 THEN 1 ELSE 0 END) AS strong_n,",
            1,
        );
    assert!(
        sql.contains("strong_n BIGINT") && sql.contains("n, strong_n, ") && sql.contains("AS strong_n"),
        "{sql}"
    );
    sql
}

fn versions(home: &Path) -> Vec<String> {
    let entries = fs::read_dir(home.join("lake/.versions")).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("daily_parts-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_job_is_built_beside_and_switched() {
    let home = tempfile::tempdir().unwrap();
    let token = token(home.path(), "ada");
    let mut dice = Dice::new(41);
    let ids: Vec<String> = (0..5).map(|_| dice.uuid()).collect();
    let mut env = vec![
        ("CRAVE__LOG__HEARTBEAT", "300ms".to_owned()),
        ("CRAVE__REPAIR__MAINTAIN_INTERVAL", "300ms".to_owned()),
    ];
    let server = Server::start_with(home.path(), &env).unwrap();
    server.send(&token, &craving(&ids[4], 0, "sugar", 3)).await;
    // Days in any order, so that some are late; one craving is corrected, one taken back.
    let old: Vec<_> =
        ids.iter().take(4).zip([3, 40, 5, 3]).map(|(id, days)| craving(id, days * DAY, "sugar", 5)).collect();
    server.send(&token, &json!(old)).await;
    let mut change = |kind: &str, payload: Value| {
        json!({ "event_id": dice.uuid(), "source": "phone", "kind": kind, "event_time": minutes_ago(0),
                "payload": payload })
    };
    let stronger = json!({ "target": ids[0], "revision": 1, "kind": "craving", "event_time": minutes_ago(3 * DAY),
        "tz_offset_min": 120, "body": { "craving": "sugar", "intensity": 9 } });
    let changes = [change("correct", stronger), change("retract", json!({ "target": ids[2] }))];
    server.send(&token, &json!(changes)).await;
    let before = [json!({ "n": 1, "sum": 5 }), json!({ "n": 2, "sum": 14 })];
    server.until(PATIENT, async |s| s.query(&token, DAYS).await == before).await;
    server.stop();
    assert_eq!(versions(home.path()).len(), 1);

    let jobs = home.path().join("my-jobs");
    fs::create_dir(&jobs).unwrap();
    fs::write(jobs.join("daily_parts.sql"), changed()).unwrap();
    env.push(("CRAVE__FLOW__JOBS", jobs.to_string_lossy().into_owned()));
    // Killed while it is built: the next start goes on, or begins it again.
    Server::start_with(home.path(), &env).unwrap().kill();
    let server = Server::start_with(home.path(), &env).unwrap();
    let after = [json!({ "n": 1, "sum": 50 }), json!({ "n": 2, "sum": 140 })];
    server
        .until(PATIENT, async |s| {
            let rows = s.query(&token, DAYS).await;
            assert!(
                rows == before || rows == after,
                "readers see the old table or the whole new one: {rows:?}"
            );
            rows == after
        })
        .await;
    let strong = server.query(&token, "SELECT sum(strong_n) AS n FROM daily_parts").await;
    assert_eq!(strong, [json!({ "n": 1 })]);
    server.until(PATIENT, async |_| versions(home.path()).len() == 1).await;
    // The others went on: nothing came twice.
    let cravings = server.query(&token, "SELECT count(*) AS n FROM cravings").await;
    assert_eq!(cravings, [json!({ "n": 4 })]);
    server.stop();
    let config = home.path().join("crave.toml");
    fs::write(&config, format!("[flow]\njobs = {:?}\n", jobs.to_string_lossy())).unwrap();
    let (code, text) =
        crate::support::crave(home.path(), &["--json", "--config", config.to_str().unwrap(), "verify"]);
    assert_eq!(code, 0, "{text}");
    // Without the folder the built-in job is the changed one: everything is built back.
    verify(home.path());
    let rows = crate::support::sql(home.path(), DAYS);
    assert_eq!(rows[..2], before);
}

/// The same without a restart: the server is told, and says what it will do first.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_takes_changed_and_new_jobs() {
    let home = tempfile::tempdir().unwrap();
    let token = token(home.path(), "ada");
    let jobs = home.path().join("my-jobs");
    fs::create_dir(&jobs).unwrap();
    let env = [
        ("CRAVE__LOG__HEARTBEAT", "300ms".to_owned()),
        ("CRAVE__FLOW__JOBS", jobs.to_string_lossy().into_owned()),
    ];
    let server = Server::start_with(home.path(), &env).unwrap();
    let mut dice = Dice::new(42);
    let sent: Vec<_> = (1..4).map(|days| craving(&dice.uuid(), days * DAY, "sugar", 5)).collect();
    server.send(&token, &json!(sent)).await;
    server.until(PATIENT, async |s| s.query(&token, DAYS).await.len() == 3).await;

    fs::write(jobs.join("daily_parts.sql"), "CREATE TABLE oops").unwrap();
    assert_eq!(crate::support::crave(home.path(), &["flow", "deploy"]).0, 1, "what is wrong is told");
    fs::write(jobs.join("daily_parts.sql"), changed()).unwrap();
    let recency = fs::read_to_string("sql/jobs/recency.sql").unwrap();
    fs::write(jobs.join("mine.sql"), recency.replace("'$lake/recency'", "'$lake/mine'")).unwrap();
    for arguments in [&["--json", "flow", "deploy", "--dry-run"][..], &["--json", "flow", "deploy"]] {
        let (code, text) = crate::support::crave(home.path(), arguments);
        let states = crate::support::objects(&text);
        let of = |job: &str| states.iter().find(|s| s["job"] == job).unwrap()["state"].clone();
        assert_eq!(
            (code, of("daily_parts"), of("mine"), of("recency")),
            (0, json!("rebuilt"), json!("new"), json!("kept")),
            "{text}"
        );
    }
    // When the command returns, the name stands for the new table.
    let tens = server.query(&token, DAYS).await;
    assert!(tens.len() == 3 && tens.iter().all(|row| row["sum"] == 50), "{tens:?}");
    server
        .until(PATIENT, async |s| {
            let rows =
                async |table: &str| s.query(&token, &format!("SELECT count(*) AS n FROM {table}")).await;
            rows("mine").await == rows("recency").await
        })
        .await;
    server.send(&token, &craving(&dice.uuid(), 0, "sugar", 7)).await;
    server.until(PATIENT, async |s| s.query(&token, "SELECT 1 FROM cravings").await.len() == 4).await;
    assert_eq!(crate::support::crave(home.path(), &["verify"]).0, 0);
    server.stop();
}
