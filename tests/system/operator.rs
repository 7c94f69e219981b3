//! Commands beside a running server: they speak with it, and the home needs no second owner.

use std::{path::Path, time::Duration};

use crave_recall::{Recall, SourceKind};
use crave_schemas::UserId;
use serde_json::{Value, json};

use crate::support::{Dice, Server, crave, craving, minutes_ago, objects, token, verify};

const DAY: i64 = 24 * 60;

fn start(home: &Path) -> Server {
    // Time is told often, so that a drain ends soon.
    Server::start_with(home, &[("CRAVE__LOG__HEARTBEAT", "300ms".to_owned())]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_on_the_home_of_a_running_server() {
    let home = tempfile::tempdir().unwrap();
    let token = token(home.path(), "ada");
    let server = start(home.path());
    let mut dice = Dice::new(21);
    server.send(&token, &craving(&dice.uuid(), 1, "sugar", 8)).await;

    let (csv, map) = (home.path().join("old.csv"), home.path().join("map.toml"));
    std::fs::write(
        &csv,
        "at,sdnn\n2024-01-02 03:04:05,41\n2024-01-02 04:04:05,4100\n2024-01-03 03:04:05,43\n",
    )
    .unwrap();
    std::fs::write(
        &map,
        "name = \"old\"\n[time]\ncolumns = [\"at\"]\nformats = [\"%Y-%m-%d %H:%M:%S\"]\nzone = \"unknown\"\n\
         [[event]]\nkind = \"hrv_sdnn_ms\"\nfields = { value = { column = \"sdnn\", type = \"number\" } }\n",
    )
    .unwrap();
    let import =
        ["--json", "import", "csv", csv.to_str().unwrap(), "--map", map.to_str().unwrap(), "--user", "ada"];
    for (accepted, duplicate) in [(2, 0), (0, 2)] {
        let (code, text) = crave(home.path(), &import);
        let report = &objects(&text)[0];
        assert_eq!(
            (code, report["read"].as_u64(), report["accepted"].as_u64(), report["duplicate"].as_u64()),
            (0, Some(3), Some(accepted), Some(duplicate)),
            "{text}"
        );
    }
    let samples = server.query(&token, "SELECT count(*) AS n FROM events WHERE kind = 'hrv_sdnn_ms'").await;
    assert_eq!(samples, [json!({ "n": 2 })], "when the command returns, its rows are there");

    let (code, text) =
        crave(home.path(), &["--json", "simulate", "--users", "1", "--days", "3", "--seed", "4"]);
    let sent = &objects(&text)[0];
    assert_eq!((code, sent["refused"].as_u64()), (0, Some(0)), "{text}");

    // A craving of last year dirties windows that are closed; reconcile returns when they are right.
    server.send(&token, &craving(&dice.uuid(), 400 * DAY, "nicotine", 5)).await;
    let (code, text) = crave(home.path(), &["--json", "reconcile"]);
    assert_eq!(code, 0, "{text}");
    let daily = server.query(&token, "SELECT n FROM daily_parts WHERE craving = 'nicotine'").await;
    assert_eq!(daily, [json!({ "n": 1 })], "{text}");
    verify(home.path());
    assert_eq!(crave(home.path(), &["--json", "dead", "list"]), (0, String::new()));
    assert_eq!(crave(home.path(), &["dead", "show", "0:0"]).0, 1, "no such letter, told by the server");
    server.stop();
    assert!(!home.path().join("crave.sock").exists(), "a stopped server takes its socket away");
    verify(home.path());
}

/// What is found of trends is what the tables hold: a correction of an old month changes its sentence, and without its
/// cravings it is gone (RC-1).
#[tokio::test(flavor = "multi_thread")]
async fn trend_markers_follow_corrections() {
    let home = tempfile::tempdir().unwrap();
    let token = token(home.path(), "ada");
    let mut dice = Dice::new(22);
    let ids: Vec<String> = (0..6).map(|_| dice.uuid()).collect();
    let mut change = |kind: &str, payload: Value| {
        json!({ "event_id": dice.uuid(), "source": "phone", "kind": kind, "event_time": minutes_ago(0),
                "payload": payload })
    };
    // Six cravings of an old day, sent after one of now: their 30 days are long closed.
    let now = vec![craving(&Dice::new(23).uuid(), 1, "sugar", 8)];
    let old = ids.iter().map(|id| craving(id, 400 * DAY, "nicotine", 4)).collect();
    let stronger = json!({ "target": ids[0], "revision": 1, "kind": "craving",
        "event_time": minutes_ago(400 * DAY), "body": { "craving": "nicotine", "intensity": 10 } });
    let corrected = vec![change("correct", stronger)];
    let retracted = ids.iter().map(|id| change("retract", json!({ "target": id }))).collect();
    let mut seen = Vec::new();
    for events in [now, old, corrected, retracted] {
        let server = start(home.path());
        server.send(&token, &json!(events)).await;
        assert_eq!(crave(home.path(), &["reconcile"]).0, 0);
        let rows = server.query(&token, "SELECT marker FROM trend_parts WHERE craving = 'nicotine'").await;
        settled(home.path()).await;
        server.stop();
        let stored: Vec<String> =
            rows.iter().filter_map(|row| row["marker"].as_str().map(str::to_owned)).collect();
        assert_eq!(remembered(home.path()).await, stored);
        seen.push(stored);
    }
    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 1, 0], "{seen:?}");
    assert_ne!(seen[1], seen[2], "the mean intensity is another one");
}

/// Waits until nothing more is remembered for a second.
async fn settled(home: &Path) {
    let remembered = || -> u64 {
        let read = |n: u32| std::fs::read(home.join(format!("memories/position-{n}.json"))).ok();
        let position = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).ok()?["memories"].as_u64();
        (0..4).filter_map(read).filter_map(position).sum()
    };
    let (mut before, mut still) = (remembered(), 0);
    while still < 5 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = remembered();
        still = if now == before { still + 1 } else { 0 };
        before = now;
    }
}

/// The sentences about nicotine in the index of a stopped server.
async fn remembered(home: &Path) -> Vec<String> {
    let recall = Recall::open(home.join("memories"), None).await.unwrap();
    let (memories, _) = recall.list(&UserId::new("ada").unwrap(), None, 1_000).await.unwrap();
    let trends = memories.into_iter().filter(|memory| memory.source_kind == SourceKind::Trend);
    trends.filter(|memory| memory.source_id.contains("nicotine")).map(|memory| memory.text).collect()
}
