//! `crave up --only …`: some parts in a process; what it does not run waits, or runs elsewhere.

use std::time::Duration;

use serde_json::json;

use crate::support::{Dice, Server, craving, sql, token, verify};

const PATIENT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn what_ingest_took_in_waits_for_flow() {
    if std::env::var_os("KAFKA_BOOTSTRAP").is_some() {
        return over_kafka().await;
    }
    let home = tempfile::tempdir().unwrap();
    let token = token(home.path(), "ada");
    let mut dice = Dice::new(31);
    let events: Vec<_> = (0..20).map(|i| craving(&dice.uuid(), i, "sugar", 5)).collect();

    let ingest = Server::start_only(home.path(), "ingest", &[]);
    ingest.send(&token, &json!(events)).await;
    let status = format!("/v1/events/{}", events[0]["event_id"].as_str().unwrap());
    assert_eq!(ingest.get(&token, &status).await.1["status"], "waiting");
    assert_eq!(ingest.get(&token, "/v1/analytics/summary").await.0, 404, "not a face of this process");
    assert_eq!(ingest.http.get(format!("{}/health/ready", ingest.url)).send().await.unwrap().status(), 200);
    ingest.stop();
    assert!(!home.path().join("lake").exists(), "no table was touched");

    let flow = Server::start_only(home.path(), "flow", &[]);
    assert_eq!(flow.post(&token, "/v1/events", &json!(events)).await.0, 404);
    let deadline = tokio::time::Instant::now() + PATIENT;
    while sql(home.path(), "SHOW TABLES").iter().all(|row| row["table_name"] != "cravings")
        || sql(home.path(), "SELECT count(*) AS n FROM cravings")[0]["n"] != 20
    {
        assert!(tokio::time::Instant::now() < deadline, "not admitted within {PATIENT:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    flow.stop();

    let serve = Server::start_only(home.path(), "serve", &[]);
    assert_eq!(serve.get(&token, "/v1/analytics/summary").await.1["n"], 20);
    serve.stop();
    verify(home.path());
}

/// Three processes, each with a home of its own, over one log in Kafka: what one takes in another computes and a third
/// shows.
async fn over_kafka() {
    let place = tempfile::tempdir().unwrap();
    let shared = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    let env = [
        ("CRAVE__SHARED__LAKE", shared("lake")),
        ("CRAVE__SHARED__ACCOUNTS", shared("accounts.sqlite")),
        ("CRAVE__LOG__PREFIX", format!("parts-{}.", std::process::id())),
    ];
    let token = crate::support::token_with(&place.path().join("ingest"), "ada", &env);
    let start = |part: &str| Server::start_only(&place.path().join(part), part, &env);
    let (ingest, flow) = (start("ingest"), start("flow"));
    let serve = start("serve");
    let mut dice = Dice::new(32);
    let events: Vec<_> = (0..20).map(|i| craving(&dice.uuid(), i, "sugar", 5)).collect();
    ingest.send(&token, &json!(events)).await;
    let took =
        serve.until(PATIENT, async |s| s.get(&token, "/v1/analytics/summary").await.1["n"] == 20).await;
    println!("sent to one process, seen in a third after {took:?}");
    // What is a duplicate is known wherever it is sent.
    let again = Server::start_only(&place.path().join("ingest-2"), "ingest", &env);
    let (_, report) = again.post(&token, "/v1/events", &json!(events)).await;
    assert_eq!(report["duplicate"], 20, "{report}");
    for server in [again, serve, flow, ingest] {
        server.stop();
    }
}
