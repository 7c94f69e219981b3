//! Notes are understood, whole way: labels as rows in SQL, each once whatever is killed, in step with corrections and
//! deletions; importance and emotions in the score of a search.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    recall::{json_with_model, models},
    support::{Dice, Server, minutes_ago, sql, token},
};

/// How long labels may take on a busy machine.
const LABELLED: Duration = Duration::from_secs(60);

const STRESSED: &str = "I'm so stressed at work, my boss keeps shouting and I want chocolate right now!";
const CALM: &str = "Sat by the lake on my own, everything slow and peaceful. I feel calm.";
const OF_OTHERS: &str = "My sister is so angry with her boss.";

fn note(id: &str, minutes: i64, text: &str) -> Value {
    json!({ "event_id": id, "source": "phone", "kind": "craving", "event_time": minutes_ago(minutes), "tz_offset_min": 60,
        "payload": { "craving": "sugar", "intensity": 6, "note": text } })
}

fn change(id: &str, kind: &str, payload: &Value) -> Value {
    json!({ "event_id": id, "source": "phone", "kind": kind, "event_time": minutes_ago(0), "payload": payload })
}

/// The emotions that hold, of each source.
async fn felt(server: &Server, token: &str) -> Vec<(String, String)> {
    let rows = server
        .query(
            token,
            "SELECT source_id, label FROM note_labels_current WHERE kind = 'emotion' AND scope = 'own' ORDER BY 1, 2",
        )
        .await;
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(row, "source_id"), text(row, "label"))).collect()
}

/// Sources with the number of their rows of importance: one each.
async fn labelled(server: &Server, token: &str) -> Vec<(String, i64)> {
    let query =
        "SELECT source_id, count(*) AS n FROM note_labels WHERE kind = 'importance' GROUP BY 1 ORDER BY 1";
    let rows = server.query(token, query).await;
    rows.iter()
        .map(|row| (row["source_id"].as_str().unwrap().to_owned(), row["n"].as_i64().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_rows_of_their_person_and_follow_what_becomes_of_a_note() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (ada, bob) = (token(home, "ada"), token(home, "bob"));
    let server = Server::start_with(home, &[("CRAVE_MODELS", models())]).unwrap();
    let mut dice = Dice::new(31);
    let mut ids: Vec<String> = (0..4).map(|_| dice.uuid()).collect();
    ids.sort();
    let notes = [note(&ids[0], 3, STRESSED), note(&ids[1], 2, CALM), note(&ids[2], 1, OF_OTHERS)];
    server.send(&ada, &json!(notes)).await;
    server.send(&bob, &json!([note(&ids[3], 1, CALM)])).await;
    server.until(LABELLED, async |s| labelled(s, &ada).await.len() == 3).await;
    server.until(LABELLED, async |s| labelled(s, &bob).await.len() == 1).await;
    let found = felt(&server, &ada).await;
    let has = |found: &[(String, String)], id: &str, label: &str| found.contains(&(id.into(), label.into()));
    assert!(has(&found, &ids[0], "stressed") && has(&found, &ids[1], "calm"), "{found:?}");
    assert!(!found.iter().any(|(id, label)| *id == ids[2] && label == "angry"), "{found:?}");
    assert!(found.iter().all(|(id, _)| *id != ids[3]), "TN-1");
    let aside =
        "SELECT label, scope, span_start, span_end, model_version FROM note_labels WHERE scope <> 'own'";
    let asides = server.query(&ada, aside).await;
    let angry = asides.iter().find(|row| row["label"] == "angry").unwrap();
    assert_eq!((&angry["scope"], &angry["span_start"]), (&json!("other"), &json!(0)), "{asides:?}");
    assert!(angry["model_version"].as_str().unwrap().starts_with("labels-"), "{angry}");

    let (_, told) = server.get(&ada, "/v1/analytics/emotions?days=2").await;
    let rows = told["emotions"].as_array().unwrap();
    let row = rows.iter().find(|row| row["emotion"] == "stressed").unwrap_or_else(|| panic!("{told}"));
    assert_eq!((&told["days"], &row["n"]), (&json!(2), &json!(1)));
    assert!(row["day_part"].is_string() && row["mean_confidence"].as_f64().unwrap() > 0.3, "{told}");
    let (_, other) = server.get(&bob, "/v1/analytics/emotions").await;
    assert!(other["emotions"].as_array().unwrap().iter().all(|row| row["emotion"] != "stressed"), "TN-1");

    // A correction's labels are those of the new words; a retraction leaves none.
    let body = json!({ "craving": "sugar", "intensity": 6, "note": CALM });
    let correct = json!({ "target": ids[0], "revision": 1, "kind": "craving", "event_time": minutes_ago(3), "body": body });
    let changes = [
        change(&dice.uuid(), "correct", &correct),
        change(&dice.uuid(), "retract", &json!({ "target": ids[1] })),
    ];
    server.send(&ada, &json!(changes)).await;
    server
        .until(LABELLED, async |s| {
            let found = felt(s, &ada).await;
            has(&found, &ids[0], "calm") && found.iter().all(|(id, _)| *id != ids[1])
        })
        .await;
    assert!(!has(&felt(&server, &ada).await, &ids[0], "stressed"));

    // A message of a conversation has labels too, and loses them with its memory.
    let (_, talk) = server.post(&ada, "/v1/conversations", &json!({})).await;
    let path = format!("/v1/conversations/{}/messages", talk["id"].as_str().unwrap());
    let (status, reply) =
        server.post(&ada, &path, &json!({ "text": "I am so proud of myself today!" })).await;
    assert_eq!(status, 200, "{reply}");
    server
        .until(LABELLED, async |s| {
            felt(s, &ada).await.iter().any(|(id, l)| id.ends_with("#1") && l == "proud")
        })
        .await;
    let (_, page) = server.get(&ada, "/v1/memories").await;
    let item = page["items"].as_array().unwrap().iter().find(|item| item["kind"] == "chat").unwrap();
    let path = format!("{}/v1/memories/{}", server.url, item["id"].as_str().unwrap());
    assert!(server.http.delete(path).bearer_auth(&ada).send().await.unwrap().status().is_success());
    server.until(LABELLED, async |s| labelled(s, &ada).await.iter().all(|(id, _)| !id.ends_with("#1"))).await;
    server.stop();
    let rows = sql(home, "SELECT count(*) AS n FROM note_labels WHERE kind = 'importance'");
    assert_eq!(rows[0]["n"], 3, "two of ada's, one of bob's: {rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_note_is_labelled_once_whatever_is_killed() {
    const KILLS: usize = 5;
    const NOTES: usize = 24;
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let ada = token(home, "ada");
    let mut dice = Dice::new(32);
    let mut sent = Vec::new();
    for _ in 0..KILLS {
        let server = Server::start_with(home, &[("CRAVE_MODELS", models())]).unwrap();
        let ids: Vec<String> = (0..NOTES).map(|_| dice.uuid()).collect();
        let notes: Vec<Value> = ids.iter().map(|id| note(id, 1, STRESSED)).collect();
        server.send(&ada, &json!(notes)).await;
        sent.extend(ids);
        tokio::time::sleep(Duration::from_millis(dice.below(4_000))).await;
        server.kill();
    }
    sent.sort();
    let server = Server::start_with(home, &[("CRAVE_MODELS", models())]).unwrap();
    server.until(LABELLED, async |s| labelled(s, &ada).await.len() == sent.len()).await;
    let expected: Vec<(String, i64)> = sent.into_iter().map(|id| (id, 1)).collect();
    assert_eq!(labelled(&server, &ada).await, expected);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn importance_and_mood_count_in_a_search() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let ada = token(home, "ada");
    let server = Server::start_with(home, &[("CRAVE_MODELS", models())]).unwrap();
    let mut dice = Dice::new(33);
    let quiet = "Chocolate was on offer.";
    let notes = [note(&dice.uuid(), 2, STRESSED), note(&dice.uuid(), 1, quiet)];
    server.send(&ada, &json!(notes)).await;
    server.until(LABELLED, async |s| labelled(s, &ada).await.len() == 2).await;
    let search = |without: &[&str]| {
        let question = "I am so stressed, what about chocolate?";
        let args = [["search", "--user", "ada", question].as_slice(), without].concat();
        json_with_model(home, &args)["hits"].as_array().unwrap().clone()
    };
    let hits = search(&[]);
    let of = |text: &str| hits.iter().find(|hit| hit["text"] == text).unwrap();
    let part = |text: &str, name: &str| of(text)["parts"][name].as_f64().unwrap();
    assert!(part(STRESSED, "emotion") > 1.0, "{hits:?}");
    assert!((part(quiet, "emotion") - 1.0).abs() < 1e-9, "{hits:?}");
    assert!(part(STRESSED, "importance") > part(quiet, "importance"), "{hits:?}");
    assert!(of(STRESSED)["attributes"]["emotions"]["stressed"].is_f64(), "{hits:?}");
    let plain = search(&["--without", "emotion,importance"]);
    assert!(plain.iter().all(|hit| hit["parts"]["emotion"] == 1.0 && hit["parts"]["importance"] == 1.0));
    server.stop();
}
