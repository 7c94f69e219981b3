//! Days of people everywhere: the ends of the world in one partition, nights of 23 and 25 hours, silence.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{Dice, Server, sql, token, verify};

/// One craving every UTC hour of `from..to`.
fn hourly(dice: &mut Dice, from: &str, to: &str, zone: &Value) -> Vec<Value> {
    let (mut at, to): (DateTime<Utc>, DateTime<Utc>) = (from.parse().unwrap(), to.parse().unwrap());
    let mut events = Vec::new();
    while at < to {
        let mut event = json!({ "event_id": dice.uuid(), "source": "phone", "kind": "craving",
            "event_time": at.to_rfc3339(), "payload": { "craving": "sugar", "intensity": 5 } });
        event["event_time"] = json!(at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        event.as_object_mut().unwrap().extend(zone.as_object().unwrap().clone());
        events.push(event);
        at += TimeDelta::hours(1);
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn every_local_day_closes_and_is_right() {
    let home = tempfile::tempdir().unwrap();
    let mut dice = Dice::new(5);
    let berlin = json!({ "tz": "Europe/Berlin" });
    let people = [
        (
            "west",
            hourly(
                &mut dice,
                "2026-01-10T00:00:00Z",
                "2026-01-11T00:00:00Z",
                &json!({ "tz_offset_min": -720 }),
            ),
        ),
        (
            "east",
            hourly(
                &mut dice,
                "2026-01-10T00:00:00Z",
                "2026-01-11T00:00:00Z",
                &json!({ "tz_offset_min": 840 }),
            ),
        ),
        ("autumn", hourly(&mut dice, "2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z", &berlin)),
        ("spring", hourly(&mut dice, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", &berlin)),
        (
            "silent",
            hourly(&mut dice, "2026-02-01T12:00:00Z", "2026-02-01T13:00:00Z", &json!({ "tz_offset_min": 0 })),
        ),
    ];
    let tokens: Vec<_> = people.iter().map(|(user, _)| token(home.path(), user)).collect();
    // One partition for all: nobody's midnight may hold back or overtake anybody else's.
    let env = [("CRAVE__LOG__PARTITIONS", "1".to_owned()), ("CRAVE__LOG__HEARTBEAT", "300ms".to_owned())];
    let server = Server::start_with(home.path(), &env).unwrap();
    for ((_, events), token) in people.iter().zip(&tokens) {
        server.send(token, &json!(events)).await;
    }
    let days = "SELECT local_date, CAST(sum(n) AS BIGINT) AS n FROM daily_parts WHERE craving = 'sugar' GROUP BY local_date ORDER BY local_date";
    let expected = [
        vec![("2026-01-09", 12), ("2026-01-10", 12)],
        vec![("2026-01-10", 10), ("2026-01-11", 14)],
        vec![("2025-10-26", 25)],
        vec![("2026-03-29", 23)],
        vec![("2026-02-01", 1)],
    ];
    for (token, expected) in tokens.iter().zip(&expected) {
        let expected: Vec<_> =
            expected.iter().map(|(date, n)| json!({ "local_date": date, "n": n })).collect();
        server.until(Duration::from_secs(30), async |s| s.query(token, days).await == expected).await;
    }
    server.stop();
    // The number of partitions belongs to the home: say so instead of reading half of it.
    assert_eq!(crate::support::crave(home.path(), &["verify"]).0, 1);
    let config = home.path().join("crave.toml");
    std::fs::write(&config, "[log]\npartitions = 1\n").unwrap();
    let (code, text) = crate::support::crave(home.path(), &["--config", config.to_str().unwrap(), "verify"]);
    assert_eq!(code, 0, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_restores_to_the_same_tables() {
    if std::env::var_os("KAFKA_BOOTSTRAP").is_some() {
        println!("skipped: a log in Kafka is not in the home, and the cluster's own tools back it up");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (from, to, back) = (home.path().join("a"), home.path().join("backup"), home.path().join("b"));
    let token = token(&from, "ada");
    let server = Server::start(&from);
    let mut dice = Dice::new(6);
    let events: Vec<_> =
        (0..50).map(|i| crate::support::craving(&dice.uuid(), i * 700, "sugar", 5)).collect();
    server.send(&token, &json!(events)).await;
    // Killed, not stopped: a backup of a crashed home recovers too.
    server.kill();
    assert_eq!(crate::support::crave(&from, &["backup", "--to", to.to_str().unwrap()]).0, 0);
    assert_eq!(crate::support::crave(&back, &["restore", "--from", to.to_str().unwrap()]).0, 0);
    assert_eq!(
        crate::support::crave(&back, &["restore", "--from", to.to_str().unwrap()]).0,
        1,
        "not over a home"
    );
    verify(&back);
    assert_eq!(sql(&back, "SELECT count(*) AS n FROM cravings")[0]["n"], 50);
    let again = Server::start(&back);
    assert_eq!(again.get(&token, "/v1/me").await.1["user_id"], "ada", "accounts are restored");
    again.stop();
}
