//! OpenAI's API on the platform: its own client, and what chat programs do.

use serde_json::{Value, json};

use crate::support::{Server, crave, python, token};

#[tokio::test(flavor = "multi_thread")]
async fn openais_client_talks_with_the_platform() {
    let home = tempfile::tempdir().unwrap();
    let (code, _) = crave(home.path(), &["simulate", "--users", "1", "--days", "60", "--seed", "7"]);
    assert_eq!(code, 0);
    let (ada, bob) = (token(home.path(), "sim-0001-night-sugar"), token(home.path(), "bob"));
    let package = tokio::task::spawn_blocking(|| python::package(python::OPENAI)).await.unwrap();
    let server = Server::start(home.path());
    let url = server.url.clone();
    let session = tokio::task::spawn_blocking(move || {
        python::run("chat_session.py", &package, &[url.as_str(), ada.as_str(), bob.as_str()])
    });
    let seen = session.await.unwrap();
    println!("{seen:#}");
    assert_eq!(seen["models"][0], "crave");
    assert_eq!(
        (&seen["answer"]["status"], &seen["answer"]["fallback"]),
        (&json!("answered"), &json!("no_model"))
    );
    assert!(seen["answer"]["citations"].as_u64().unwrap() >= 8, "{seen}");
    assert_eq!(seen["regenerated"], 3, "the first and two branches");
    assert_eq!(seen["walks"], 100, "fifty questions and fifty answers");
    assert_eq!((&seen["at_once"], &seen["retried"]), (&json!(true), &json!(true)));
    assert_eq!(
        seen["branch"],
        json!(["Walk number 0 was long, and the weather was grey.", "That walk was short."])
    );
    assert_eq!((&seen["believed"], &seen["tasks_left"]), (&json!(false), &json!([0, 0])));
    assert_eq!(seen["crisis"], "crisis");
    assert_eq!(seen["bobs"], json!([51, 1]), "bob told 51 questions, and was answered one");
    let errors = json!({
        "key": [401, "invalid_api_key", Value::Null], "model": [404, "model_not_found", "model"],
        "n": [400, Value::Null, "n"], "last": [400, Value::Null, "messages"],
        "long": [400, Value::Null, "messages"], "label": [400, Value::Null, "messages"],
        "large": [413, Value::Null, Value::Null],
    });
    assert_eq!(seen["errors"], errors);
    server.stop();
}
