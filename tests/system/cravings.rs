//! A craving that is corrected or taken back: tables, analytics, memories and citations follow.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Dice, Server, craving, token};

const PATIENT: Duration = Duration::from_secs(60);

async fn texts(server: &Server, token: &str) -> String {
    server.get(token, "/v1/memories").await.1.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_corrected_and_taken_back_is_followed_everywhere() {
    let home = tempfile::tempdir().unwrap();
    let ada = token(home.path(), "ada");
    let server = Server::start(home.path());
    let mut dice = Dice::new(11);
    let ids: Vec<String> = (0..8).map(|_| dice.uuid()).collect();
    for (n, id) in (0..).zip(&ids) {
        let mut event = craving(id, 60 + 60 * n, "sugar", 8);
        event["payload"]["note"] = json!(format!("the tin of biscuits number {n}"));
        server.send(&ada, &event).await;
    }
    let path = format!("/v1/cravings/{}", ids[0]);
    // Asked for at once, it may be on its way to the tables still; then it says so.
    let change = json!({ "intensity": 2, "note": "an apple, in the end", "trigger": null });
    let mut changed = Value::Null;
    server
        .until(PATIENT, async |s: &Server| {
            let (status, body) = s.ask("PATCH", &ada, &path, &change).await;
            assert!(status == 200 || status == 503, "{body}");
            changed = body;
            status == 200
        })
        .await;
    assert_eq!((&changed["revision"], &changed["status"]), (&json!(1), &json!("admitted")), "{changed}");
    assert!(changed["shows"].as_str().unwrap().contains("about a second"), "{changed}");

    // The same again is the same, before and after it shows; another one of the same revision is too late.
    let (status, again) = server.ask("PATCH", &ada, &path, &change).await;
    assert_eq!((status, &again["revision"]), (200, &json!(1)), "{again}");
    let shown = async |s: &Server| s.get(&ada, &path).await.1["intensity"] == 2;
    server.until(PATIENT, shown).await;
    let (_, now) = server.get(&ada, &path).await;
    assert_eq!((&now["note"], &now["trigger"]), (&json!("an apple, in the end"), &Value::Null), "{now}");
    let revised = async |s: &Server| s.ask("PATCH", &ada, &path, &change).await.1["status"] == "unchanged";
    server.until(PATIENT, revised).await;
    let (status, late) = server.ask("PATCH", &ada, &path, &json!({ "intensity": 5, "revision": 0 })).await;
    assert_eq!((status, late["error"]["kind"].as_str()), (409, Some("conflict")), "{late}");
    let (status, next) = server.ask("PATCH", &ada, &path, &json!({ "intensity": 3, "revision": 1 })).await;
    assert_eq!((status, &next["revision"]), (200, &json!(2)), "{next}");
    for (bad, field) in [
        (json!({ "intensity": 11 }), "intensity"),
        (json!({ "craving": null }), "craving"),
        (json!({ "user_id": "bob" }), "user_id"),
        (json!({ "event_time": "2999-01-01T00:00:00Z" }), "event_time"),
        (json!({ "revision": "two" }), "revision"),
    ] {
        let (status, body) = server.ask("PATCH", &ada, &path, &bad).await;
        assert_eq!((status, body["error"]["field"].as_str()), (400, Some(field)), "{bad}: {body}");
    }

    // Analytics, memories and citations follow.
    let mean = async |s: &Server| {
        let rows = s.query(&ada, "SELECT sum(intensity) AS total FROM cravings").await;
        rows[0]["total"] == 7 * 8 + 3
    };
    server.until(PATIENT, mean).await;
    let remembered = async |s: &Server| {
        let seen = texts(s, &ada).await;
        seen.contains("an apple, in the end") && seen.contains("number 7") && !seen.contains("number 0")
    };
    server.until(PATIENT, remembered).await;
    let (_, answer) = server
        .post(&ada, "/v1/insights", &json!({ "question": "how many sugar cravings in the last 7 days?" }))
        .await;
    let counted = answer["citations"].as_array().unwrap();
    let counted =
        counted.iter().find(|c| c["value"].as_f64() == Some(8.0)).unwrap_or_else(|| panic!("{answer}"));
    let opened = format!("/v1/citations/{}", counted["id"].as_str().unwrap());
    assert_eq!(server.get(&ada, &opened).await.1["changed"], false);

    let (status, gone) = server.ask("DELETE", &ada, &path, &json!(null)).await;
    assert_eq!((status, &gone["status"]), (200, &json!("admitted")), "{gone}");
    let (status, twice) = server.ask("DELETE", &ada, &path, &json!(null)).await;
    assert_eq!((status, &twice["status"]), (200, &json!("unchanged")), "{twice}");
    assert_eq!(server.ask("PATCH", &ada, &path, &change).await.0, 404, "what was taken back stays so");
    server.until(PATIENT, async |s: &Server| s.get(&ada, &path).await.0 == 404).await;
    server.until(PATIENT, async |s: &Server| !texts(s, &ada).await.contains("an apple")).await;
    let (_, detail) = server.get(&ada, &opened).await;
    assert_eq!((detail["value"].as_f64(), &detail["changed"]), (Some(8.0), &json!(true)), "{detail}");
    assert_eq!(detail["value_now"].as_f64(), Some(7.0), "{detail}");
    let (_, page) = server.get(&ada, "/v1/cravings").await;
    assert_eq!(page["items"].as_array().unwrap().len(), 7, "{page}");
    server.stop();
}
