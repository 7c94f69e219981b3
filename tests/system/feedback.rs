//! What people think of answers: kept, replaced, taken back, exported for whom they allow it, gone with what is quoted.

use serde_json::{Value, json};

use crate::support::{Server, crave, objects, token};

async fn say(server: &Server, token: &str, talk: &str, text: &str) -> Value {
    let path = format!("/v1/conversations/{talk}/messages");
    let (status, reply) = server.post(token, &path, &json!({ "text": text })).await;
    assert_eq!(status, 200, "{reply}");
    reply["answer"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_is_kept_and_exported_only_where_it_is_allowed() {
    let home = tempfile::tempdir().unwrap();
    let (ada, bob) = (token(home.path(), "ada"), token(home.path(), "bob"));
    let server = Server::start(home.path());
    let mut answers = Vec::new();
    for person in [&ada, &bob] {
        let (_, talk) = server.post(person, "/v1/conversations", &json!({})).await;
        let talk = talk["id"].as_str().unwrap();
        say(&server, person, talk, "My sister Nora brought marzipan on Sunday.").await;
        let answer = say(&server, person, talk, "Who brought marzipan on Sunday?").await;
        assert!(answer.to_string().contains("marzipan"), "{answer}");
        answers.push(answer["id"].as_str().unwrap().to_owned());
    }
    let path = |answer: &str| format!("/v1/answers/{answer}/feedback");
    let up = json!({ "thumb": "up", "reason": "helpful", "text": "yes, marzipan it was" });
    for (person, answer) in [(&ada, &answers[0]), (&bob, &answers[1])] {
        assert_eq!(server.get(person, &path(answer)).await.0, 404, "nothing was said yet");
        assert_eq!(server.put(person, &path(answer), &up).await, (200, up.clone()));
    }
    for (bad, field) in [
        (json!({ "thumb": "up", "reason": "because" }), "reason"),
        (json!({ "thumb": "up", "text": "x".repeat(2_049) }), "text"),
    ] {
        let (status, body) = server.put(&ada, &path(&answers[0]), &bad).await;
        assert_eq!((status, body["error"]["field"].as_str()), (400, Some(field)), "{body}");
    }
    let down = json!({ "thumb": "down", "reason": "wrong", "text": null });
    assert_eq!(server.put(&ada, &path(&answers[0]), &down).await.0, 200);
    assert_eq!(server.get(&ada, &path(&answers[0])).await, (200, down));
    let correction = json!({ "archetype": "nighttime_binger" });
    assert_eq!(server.post(&ada, "/v1/persona/correction", &correction).await.0, 200);

    let export = || {
        let (code, text) = crave(home.path(), &["feedback", "export"]);
        assert_eq!(code, 0);
        objects(&text)
    };
    assert!(export().is_empty(), "nobody has allowed it");
    assert_eq!(server.put(&ada, "/v1/consent", &json!({ "training": true })).await.0, 200);
    let lines = export();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let [answer, persona] = &lines[..] else { unreachable!() };
    assert_eq!(
        (&answer["kind"], &answer["example"]["feedback"]["thumb"]),
        (&json!("answer"), &json!("down"))
    );
    assert_eq!(answer["example"]["question"], "Who brought marzipan on Sunday?");
    assert_eq!(persona["example"]["by_person"], "nighttime_binger", "{persona}");
    assert!(!answer.to_string().contains("\"ada\""), "no ids");

    // The memory that the answer quotes is deleted: the answer goes, with what was thought of it.
    let (_, page) = server.get(&ada, "/v1/memories").await;
    let items = page["items"].as_array().unwrap();
    let quoted = items.iter().find(|item| item["text"].as_str().unwrap().contains("marzipan")).unwrap();
    let memory = format!("/v1/memories/{}", quoted["id"].as_str().unwrap());
    assert_eq!(server.ask("DELETE", &ada, &memory, &json!(null)).await.0, 204);
    assert_eq!(server.get(&ada, &path(&answers[0])).await.0, 404);
    assert_eq!(server.get(&bob, &path(&answers[1])).await.0, 200, "another's stays");
    assert_eq!(server.ask("DELETE", &bob, &path(&answers[1]), &json!(null)).await.0, 204);
    assert_eq!(server.get(&bob, &path(&answers[1])).await.0, 404);
    server.put(&ada, "/v1/consent", &json!({ "training": false })).await;
    assert!(export().is_empty());
    server.stop();
}
