//! PR-1: after an erasure no byte of a person is left in the home, others have all of theirs, and nothing comes back.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use arrow::util::pretty::pretty_format_batches;
use crave_connect::log::{EventLog as _, LocalLog, LocalOptions, Topic};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::support::{Dice, Server, binary, crave, craving, objects, token, verify};

const ADA: &str = "ada-of-ghent-1815";
const CANARY: &str = "zxqv canary words";
const PATIENT: Duration = Duration::from_secs(120);

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files(&entry.path())),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// Files, rows and records of a home that hold one of the texts; the home must be at rest.
async fn holders(home: &Path, texts: &[&str]) -> Vec<String> {
    let mut holders = Vec::new();
    let holds = |text: &str| texts.iter().any(|one| text.contains(one));
    for path in files(home) {
        let bytes = fs::read(&path).unwrap();
        let raw = |text: &&str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        if texts.iter().any(raw) {
            holders.push(path.display().to_string());
        }
        if path.extension().is_some_and(|extension| extension == "parquet") && !bytes.is_empty() {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
            let rows: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
            if holds(&pretty_format_batches(&rows).unwrap().to_string()) {
                holders.push(format!("rows of {}", path.display()));
            }
        }
    }
    let log = LocalLog::open(&home.join("log"), LocalOptions::default()).unwrap();
    for topic in Topic::ALL {
        for partition in 0..4 {
            let mut from = 0;
            loop {
                let read = log.read(topic, partition, from, 1 << 20, Duration::ZERO).await.unwrap();
                let Some(last) = read.last() else { break };
                from = last.offset + 1;
                let theirs = |r: &crave_connect::log::Stored| {
                    holds(&r.record.key) || holds(&String::from_utf8_lossy(&r.record.value))
                };
                if read.iter().any(theirs) {
                    holders.push(format!("records of {}", topic.as_str()));
                }
            }
        }
    }
    holders
}

async fn count(server: &Server, token: &str) -> usize {
    server.query(token, "SELECT 1 FROM cravings").await.len()
}

/// How many memories a person has once no more come.
async fn remembered(server: &Server, token: &str) -> usize {
    let (mut seen, mut same) = (0, 0);
    server
        .until(PATIENT, async |s: &Server| {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let (_, page) = s.get(token, "/v1/memories?limit=1000").await;
            let now = page["items"].as_array().map_or(0, Vec::len);
            same = if now == seen && now > 0 { same + 1 } else { 0 };
            seen = now;
            same == 6
        })
        .await;
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_person_is_left_and_nothing_comes_back() {
    if std::env::var("KAFKA_BOOTSTRAP").is_ok() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    // Somebody with closed windows, trends and late rows beside whom it happens.
    let (code, _) = crave(home, &["simulate", "--users", "1", "--days", "40", "--seed", "5"]);
    assert_eq!(code, 0);
    let (ada, sim) = (token(home, ADA), token(home, "sim-0001-night-sugar"));
    let server = Server::start(home);
    let mut dice = Dice::new(17);
    let events: Vec<Value> = (0..30)
        .map(|n| {
            // Over months, so that windows close with her in them.
            let mut event = craving(&dice.uuid(), 30 + n * 2_880, "sugar", 7);
            event["payload"]["note"] = json!(format!("{CANARY} {n}"));
            event
        })
        .collect();
    server.send(&ada, &Value::Array(events.clone())).await;
    let bad = json!({ "event_id": events[0]["event_id"], "source": "watch", "kind": "mood",
        "event_time": events[0]["event_time"], "payload": { "valence": 1, "note": CANARY } });
    server.post(&ada, "/v1/events", &bad).await;
    server.until(PATIENT, async |s: &Server| count(s, &ada).await == 30).await;
    let change = json!({ "note": format!("{CANARY} corrected") });
    let corrected = format!("/v1/cravings/{}", events[1]["event_id"].as_str().unwrap());
    server.until(PATIENT, async |s: &Server| s.ask("PATCH", &ada, &corrected, &change).await.0 == 200).await;
    let profile = json!({ "goals": [CANARY], "time_zone": "Europe/Brussels", "tone": "warm" });
    assert_eq!(server.put(&ada, "/v1/profile", &profile).await.0, 200);
    assert_eq!(server.put(&ada, "/v1/consent", &json!({ "training": true })).await.0, 200);
    server.post(&ada, "/v1/persona/correction", &json!({ "archetype": null })).await;
    let (_, talk) = server.post(&ada, "/v1/conversations", &json!({})).await;
    let said = format!("/v1/conversations/{}/messages", talk["id"].as_str().unwrap());
    let (_, reply) = server.post(&ada, &said, &json!({ "text": format!("I live in Ghent. {CANARY}") })).await;
    let judged = format!("/v1/answers/{}/feedback", reply["answer"]["id"].as_str().unwrap());
    assert_eq!(server.put(&ada, &judged, &json!({ "thumb": "down", "text": CANARY })).await.0, 200);
    let upload = server.http.post(format!("{}/v1/documents?name=diary.md", server.url));
    assert_eq!(upload.bearer_auth(&ada).body(CANARY.repeat(40)).send().await.unwrap().status(), 201);
    let (_, answer) =
        server.post(&ada, "/v1/insights", &json!({ "question": "why do I crave sugar?" })).await;
    assert!(answer["citations"].as_array().is_some_and(|c| !c.is_empty()), "{answer}");
    server
        .until(PATIENT, async |s: &Server| {
            s.get(&ada, "/v1/memories").await.1.to_string().contains("canary words 7")
        })
        .await;
    let before = count(&server, &sim).await;
    let memories = remembered(&server, &sim).await;
    assert!(before > 10 && memories > 0, "{before} {memories}");

    let (status, body) = server.ask("DELETE", &ada, "/v1/me", &json!({ "confirm": "yes" })).await;
    assert_eq!((status, body["error"]["field"].as_str()), (400, Some("confirm")), "{body}");
    let (status, asked) = server.ask("DELETE", &ada, "/v1/me", &json!({ "confirm": ADA })).await;
    assert_eq!(status, 202, "{asked}");
    // The server goes and comes back; whoever knows the id sees the receipt.
    let url = format!("{}{}", server.url, asked["receipt"].as_str().unwrap());
    let mut erasure = Value::Null;
    server
        .until(PATIENT, async |s: &Server| {
            let Ok(sent) = s.http.get(&url).send().await else { return false };
            erasure = sent.json().await.unwrap_or(Value::Null);
            erasure["done_at"].is_string()
        })
        .await;
    println!("{}", serde_json::to_string_pretty(&erasure).unwrap());
    assert!(!erasure.to_string().contains(ADA), "{erasure}");
    assert_eq!(erasure["receipt"]["searched"]["with_id"], 0, "{erasure}");
    let removed = |part: &str| {
        let stores = erasure["receipt"]["stores"].as_array().unwrap().iter();
        let of = |store: &&Value| store["store"].as_str().unwrap().starts_with(part);
        stores.filter(of).filter_map(|store| store["removed"].as_u64()).sum::<u64>()
    };
    for part in [
        "accounts",
        "event log: inbox",
        "event log: ids",
        "table events",
        "table cravings",
        "documents",
        "citations",
        "index of memories",
    ] {
        assert!(removed(part) > 0, "{part}: {erasure}");
    }
    assert_eq!(server.get(&ada, "/v1/me").await.0, 401, "the token has ended");

    // Others have all of theirs, and the server goes on.
    assert_eq!(count(&server, &sim).await, before);
    assert_eq!(remembered(&server, &sim).await, memories);
    server.stop();
    let found = holders(home, &[ADA, CANARY]).await;
    assert!(found.is_empty(), "{found:?}");
    verify(home);

    // A device that syncs again under a new token brings nothing back; what is new is taken.
    let ada = token(home, ADA);
    let server = Server::start(home);
    let (_, report) = server.post(&ada, "/v1/events", &Value::Array(events.clone())).await;
    assert_eq!((&report["accepted"], &report["refused"]), (&json!(0), &json!(30)), "{report}");
    assert_eq!(report["results"][0]["code"], "erased", "{report}");
    server.send(&ada, &craving(&dice.uuid(), 5, "tea", 1)).await;
    server.until(PATIENT, async |s: &Server| count(s, &ada).await == 1).await;
    assert!(!server.get(&ada, "/v1/memories").await.1.to_string().contains("canary"));
    server.stop();
    verify(home);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_is_killed_goes_on() {
    if std::env::var("KAFKA_BOOTSTRAP").is_ok() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (code, _) = crave(home, &["simulate", "--users", "2", "--days", "30", "--seed", "9"]);
    assert_eq!(code, 0);
    let truth: Value = serde_json::from_slice(&fs::read(home.join("simulate-truth.json")).unwrap()).unwrap();
    let user = truth["users"][0]["user_id"].as_str().unwrap().to_owned();
    let (code, _) = crave(home, &["erase", "--user", &user]);
    assert_eq!(code, 2, "not without --yes");
    for failpoint in ["erasing: log written", "erasing@3", "erasing@8", "erasing@16"] {
        let mut command = binary();
        command.arg("--home").arg(home).args(["erase", "--user", &user, "--yes"]);
        let status = command.env("CRAVE_FAILPOINT", failpoint).status().unwrap();
        assert!(!status.success(), "{failpoint}");
    }
    let (code, text) = crave(home, &["--json", "erase", "--user", &user, "--yes"]);
    assert_eq!(code, 0);
    let erasure = &objects(&text)[0];
    assert_eq!(erasure["receipt"]["searched"]["with_id"], 0, "{erasure}");
    let found = holders(home, &[&user]).await;
    assert!(found.is_empty(), "{found:?}");
    verify(home);
}
