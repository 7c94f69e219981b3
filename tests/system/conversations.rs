//! Conversations and memories: what is said is remembered, found, corrected and deleted for good, each person's apart.

use serde_json::{Value, json};

use crate::support::{Server, crave, objects, token};

async fn begin(server: &Server, token: &str) -> String {
    let (status, talk) = server.post(token, "/v1/conversations", &json!({})).await;
    assert_eq!(status, 201, "{talk}");
    talk["id"].as_str().unwrap().to_owned()
}

async fn say(server: &Server, token: &str, talk: &str, text: &str) -> Value {
    let path = format!("/v1/conversations/{talk}/messages");
    let (status, reply) = server.post(token, &path, &json!({ "text": text })).await;
    assert_eq!(status, 200, "{text}: {reply}");
    reply
}

async fn change(server: &Server, method: &str, token: &str, path: &str, body: &Value) -> u16 {
    let method = method.parse().unwrap();
    let sent = server.http.request(method, format!("{}{path}", server.url)).bearer_auth(token).json(body);
    sent.send().await.unwrap().status().as_u16()
}

/// Every page on which the person sees what is remembered, in one text.
async fn all_seen(server: &Server, token: &str, talk: &str) -> String {
    let mut seen = String::new();
    for path in [
        "/v1/memories".to_owned(),
        "/v1/conversations".to_owned(),
        format!("/v1/conversations/{talk}"),
        format!("/v1/conversations/{talk}/messages?limit=500"),
    ] {
        let (status, page) = server.get(token, &path).await;
        assert_eq!(status, 200, "{path}: {page}");
        seen.push_str(&page.to_string());
    }
    let export = server.http.get(format!("{}/v1/memories/export", server.url)).bearer_auth(token);
    seen.push_str(&export.send().await.unwrap().text().await.unwrap());
    seen
}

async fn item(server: &Server, token: &str, part: &str) -> Value {
    let (_, page) = server.get(token, "/v1/memories").await;
    let items = page["items"].as_array().unwrap();
    let found = items.iter().find(|item| item["text"].as_str().unwrap().contains(part));
    found.unwrap_or_else(|| panic!("{part}: {page}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_remembered_and_is_nobody_elses() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let (ada, bob) = (token(home, "ada"), token(home, "bob"));
    let server = Server::start(home);
    let talk = begin(&server, &ada).await;

    let reply =
        say(&server, &ada, &talk, "I live in Ghent, and my sister Nora brought marzipan on Sunday.").await;
    assert_eq!((&reply["turn"], &reply["learned"][0]["slot"]), (&json!(1), &json!("home")), "{reply}");
    say(&server, &ada, &talk, "I moved to Rome.").await;
    let reply = say(&server, &ada, &talk, "What did my sister Nora bring?").await;
    assert!(reply["answer"]["sentences"][0]["text"].as_str().unwrap().contains("marzipan"), "{reply}");
    let quoted = reply["recalled"][0]["id"].as_str().unwrap().to_owned();
    let (status, one) = server.get(&ada, &format!("/v1/memories/{quoted}")).await;
    assert_eq!((status, one["kind"].as_str()), (200, Some("chat")), "{one}");
    let fact = item(&server, &ada, "lives in ghent").await;
    assert!(fact["details"]["superseded_by"].is_string(), "history is kept: {fact}");
    let reply = say(&server, &ada, &talk, "I want to kill myself").await;
    assert_eq!(reply["answer"]["status"], "crisis");
    assert!(
        !server.get(&ada, "/v1/memories").await.1.to_string().contains("kill myself"),
        "not held up to them"
    );

    // Bob has nothing, and reaches nothing by its name.
    let bobs = begin(&server, &bob).await;
    let reply = say(&server, &bob, &bobs, "What did my sister Nora bring?").await;
    assert_eq!(reply["recalled"], json!([]), "{reply}");
    assert!(!all_seen(&server, &bob, &bobs).await.contains("marzipan"));
    let fact = fact["id"].as_str().unwrap();
    for path in [
        format!("/v1/conversations/{talk}"),
        format!("/v1/conversations/{talk}/messages"),
        format!("/v1/memories/{quoted}"),
        format!("/v1/memories/{fact}"),
    ] {
        assert_eq!(server.get(&bob, &path).await.0, 404, "{path}");
    }
    let body = json!({ "text": "mine" });
    for (method, path) in [
        ("POST", format!("/v1/conversations/{talk}/messages")),
        ("DELETE", format!("/v1/conversations/{talk}")),
        ("PATCH", format!("/v1/memories/{quoted}")),
        ("DELETE", format!("/v1/memories/{quoted}")),
        ("PATCH", format!("/v1/memories/{fact}")),
        ("DELETE", format!("/v1/memories/{fact}")),
    ] {
        assert_eq!(change(&server, method, &bob, &path, &body).await, 404, "{method} {path}");
        assert_eq!(change(&server, method, "cw_wrong", &path, &body).await, 401, "{method} {path}");
    }
    assert!(all_seen(&server, &ada, &talk).await.contains("marzipan"), "it is all still there");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_memory_is_nowhere_after_restart_and_replay() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let ada = token(home, "ada");
    let server = Server::start(home);
    let talk = begin(&server, &ada).await;
    say(&server, &ada, &talk, "I love canaryword! I was so ashamed of it, 9/10.").await;
    for n in 2..=9 {
        say(&server, &ada, &talk, &format!("Walk number {n} was long and the weather was grey on that day."))
            .await;
    }
    let reply = say(&server, &ada, &talk, "What was I ashamed of?").await;
    assert!(reply["recalled"][0]["text"].as_str().unwrap().contains("canaryword"), "{reply}");
    let (_, conversation) = server.get(&ada, &format!("/v1/conversations/{talk}")).await;
    assert!(conversation["summary"].as_str().unwrap().contains("canaryword"), "the peak: {conversation}");
    let walk = item(&server, &ada, "Walk number 3").await;
    let walk = format!("/v1/memories/{}", walk["id"].as_str().unwrap());
    assert_eq!(change(&server, "PATCH", &ada, &walk, &json!({ "text": "I swam in the river." })).await, 200);
    assert_eq!(change(&server, "PATCH", &ada, &walk, &json!({ "text": " " })).await, 400);

    // Two things say it: the message and the fact that came from it.
    let canary = item(&server, &ada, "I love canaryword").await;
    let canary = format!("/v1/memories/{}", canary["id"].as_str().unwrap());
    assert_eq!(change(&server, "DELETE", &ada, &canary, &json!({})).await, 204);
    assert_eq!(change(&server, "DELETE", &ada, &canary, &json!({})).await, 404);
    let seen = all_seen(&server, &ada, &talk).await;
    assert!(!seen.contains("canaryword") && !seen.contains("Walk number 3"), "{seen}");
    let reply = say(&server, &ada, &talk, "What was I ashamed of?").await;
    assert!(!reply.to_string().contains("canaryword"), "{reply}");
    server.kill();

    // The index is lost and filled again, from the log and from the conversations.
    std::fs::remove_dir_all(home.join("memories")).unwrap();
    let server = Server::start(home);
    let seen = all_seen(&server, &ada, &talk).await;
    assert!(!seen.contains("canaryword") && !seen.contains("Walk number 3"), "{seen}");
    item(&server, &ada, "I swam in the river.").await;
    item(&server, &ada, "Walk number 9").await;

    // The operator's command sees the same, through the server and without it.
    let list = || {
        let (code, text) = crave(home, &["--json", "memories", "--user", "ada", "list"]);
        assert_eq!(code, 0);
        objects(&text)
    };
    let through = list();
    let swim = through.iter().find(|item| item["text"] == "I swam in the river.").unwrap()["id"].clone();
    let swim = swim.as_str().unwrap();
    let (code, _) = crave(home, &["memories", "--user", "ada", "edit", swim, "I swam in the lake."]);
    assert_eq!(code, 0);
    assert_eq!(crave(home, &["memories", "--user", "bob", "delete", swim]).0, 1, "not bob's");
    server.stop();
    let alone = list();
    assert_eq!(alone.len(), through.len());
    assert!(alone.iter().any(|item| item["text"] == "I swam in the lake."));
    assert_eq!(crave(home, &["memories", "--user", "ada", "delete", swim]).0, 0);
    assert_eq!(crave(home, &["memories", "--user", "ada", "show", swim]).0, 1);
    assert!(!crave(home, &["memories", "--user", "ada", "export"]).1.contains("lake"));
}
