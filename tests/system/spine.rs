//! The main job: an event in, and rows, analytics and status out; corrections, retractions, late days.

use std::time::Duration;

use serde_json::json;

use crate::support::{Dice, Server, craving, minutes_ago, sql, token, verify};

/// How soon a posted craving must be visible (the aim of issue 2).
const FRESH: Duration = Duration::from_secs(2);
/// How long a repair may take on a busy CI machine.
const REPAIRED: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_craving_posted_now_is_in_the_summary() {
    let home = tempfile::tempdir().unwrap();
    let token = token(home.path(), "ada");
    let server = Server::start(home.path());
    let mut dice = Dice::new(1);
    let id = dice.uuid();
    // The first commit of a fresh home creates nothing; still, warm the path once before timing it.
    server.send(&token, &craving(&dice.uuid(), 50, "sugar", 4)).await;
    server.until(REPAIRED, async |s| s.get(&token, "/v1/analytics/summary").await.1["n"] == 1).await;

    server.send(&token, &craving(&id, 0, "sugar", 8)).await;
    let took =
        server.until(FRESH, async |s| s.get(&token, "/v1/analytics/summary?days=30").await.1["n"] == 2).await;
    println!("visible in the summary after {took:?}");
    let (_, summary) = server.get(&token, "/v1/analytics/summary?days=30").await;
    assert_eq!(summary["mean_intensity"], 6.0);
    assert_eq!(summary["by_craving"][0]["craving"], "sugar");
    let (status, one) = server.get(&token, &format!("/v1/cravings/{id}")).await;
    assert_eq!((status, &one["intensity"], &one["trigger"]), (200, &json!(8), &json!("stress")));
    let (_, list) = server.get(&token, "/v1/cravings?craving=Sugar&limit=1").await;
    assert_eq!(list["items"][0]["event_id"], id.as_str());
    let cursor = list["next_cursor"].as_str().unwrap();
    let (_, page) = server.get(&token, &format!("/v1/cravings?limit=1&cursor={cursor}")).await;
    assert_eq!(page["items"][0]["intensity"], 4);

    let (_, state) = server.get(&token, &format!("/v1/events/{id}")).await;
    assert_eq!(state["status"], "admitted");
    assert!(state["table_version"].as_u64().is_some(), "{state}");
    let (status, _) = server.get(&token, &format!("/v1/events/{}", dice.uuid())).await;
    assert_eq!(status, 404);

    for path in ["patterns", "time-of-day", "intensity", "emotions"] {
        let (status, body) = server.get(&token, &format!("/v1/analytics/{path}?days=7")).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
    let (_, patterns) = server.get(&token, "/v1/analytics/patterns").await;
    let sum: i64 =
        patterns["heatmap"].as_array().unwrap().iter().map(|cell| cell["n"].as_i64().unwrap()).sum();
    assert_eq!(sum, 2);
    server.stop();
    verify(home.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn corrections_retractions_and_old_days_reach_every_table() {
    let home = tempfile::tempdir().unwrap();
    let token = token(home.path(), "ada");
    let server = Server::start(home.path());
    let mut dice = Dice::new(2);
    let ids: Vec<String> = (0..4).map(|_| dice.uuid()).collect();
    const DAY: i64 = 24 * 60;
    // Live data first, so that the watermark stands at now; then a day of last year, as an import sends it.
    server.send(&token, &json!([craving(&ids[0], 1, "sugar", 8), craving(&ids[1], 2, "sugar", 6)])).await;
    server.until(REPAIRED, async |s| s.query(&token, "SELECT 1 FROM cravings").await.len() == 2).await;
    server
        .send(
            &token,
            &json!([craving(&ids[2], 400 * DAY, "nicotine", 5), craving(&ids[3], 400 * DAY, "nicotine", 7)]),
        )
        .await;
    let daily = "SELECT n FROM daily_parts WHERE craving = 'nicotine'";
    server.until(REPAIRED, async |s| s.query(&token, daily).await.iter().any(|r| r["n"] == 2)).await;

    let correct = json!({ "event_id": dice.uuid(), "source": "phone", "kind": "correct", "event_time": minutes_ago(0),
        "payload": { "target": ids[2], "revision": 1, "kind": "craving", "event_time": minutes_ago(399 * DAY),
                     "body": { "craving": "nicotine", "intensity": 9 } } });
    let retract = json!({ "event_id": dice.uuid(), "source": "phone", "kind": "retract", "event_time": minutes_ago(0),
        "payload": { "target": ids[1] } });
    server.send(&token, &json!([correct, retract])).await;
    server
        .until(REPAIRED, async |s| {
            let rows = s.query(&token, "SELECT intensity FROM cravings ORDER BY intensity").await;
            rows == [json!({"intensity": 7}), json!({"intensity": 8}), json!({"intensity": 9})]
        })
        .await;
    let two_days = "SELECT window_start, n FROM daily_parts WHERE craving = 'nicotine' ORDER BY window_start";
    server
        .until(REPAIRED, async |s| {
            s.query(&token, two_days).await.iter().map(|r| r["n"].as_i64()).eq([Some(1), Some(1)])
        })
        .await;
    let (_, state) = server.get(&token, &format!("/v1/events/{}", ids[1])).await;
    assert_eq!(state["status"], "retracted");

    // The same events once more change nothing.
    let (_, again) = server.post(&token, "/v1/events", &json!([retract])).await;
    assert_eq!((again["duplicate"].as_u64(), again["accepted"].as_u64()), (Some(1), Some(0)), "{again}");
    server.stop();
    let rows = verify(home.path());
    assert!(rows.iter().any(|(table, rows)| table == "recency" && *rows >= 30), "{rows:?}");
    assert_eq!(sql(home.path(), "SELECT count(*) AS n FROM events")[0]["n"], 6, "bronze keeps everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_and_health_is_told() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path());
    let (code, _) = crate::support::crave(home.path(), &["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 1, "the home is locked");
    for path in ["/health/live", "/health/ready", "/metrics"] {
        assert_eq!(
            server.http.get(format!("{}{path}", server.url)).send().await.unwrap().status(),
            200,
            "{path}"
        );
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_that_comes_hours_late_appears_beside_its_craving() {
    let home = tempfile::tempdir().unwrap();
    let token = token(home.path(), "ada");
    let server = Server::start(home.path());
    let mut dice = Dice::new(7);
    // A craving of six hours and a half ago, answered then; the watch syncs its samples only now.
    server.send(&token, &craving(&dice.uuid(), 390, "sugar", 8)).await;
    server.until(REPAIRED, async |s| s.query(&token, "SELECT 1 FROM cravings").await.len() == 1).await;
    let mut sample = |kind: &str, minutes: i64, value: f64| json!({ "event_id": dice.uuid(), "source": "watch", "kind": kind, "event_time": minutes_ago(minutes), "payload": { "value": value } });
    let samples = json!([
        sample("hrv_sdnn_ms", 400, 31.0),
        sample("hrv_sdnn_ms", 500, 55.0),
        sample("hrv_sdnn_ms", 380, 70.0),
        sample("hrv_rmssd_ms", 390 + 361, 20.0),
    ]);
    server.send(&token, &samples).await;
    let beside = "SELECT sdnn_ms, rmssd_ms FROM craving_hrv";
    // The last SDNN before the craving; the RMSSD of more than six hours before it is not beside it.
    let expected = [json!({ "sdnn_ms": 31.0, "rmssd_ms": null })];
    server.until(REPAIRED, async |s| s.query(&token, beside).await == expected).await;
    server.stop();
}
