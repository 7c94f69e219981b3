//! A model puts answers into words: each sentence through the gate, the adapter of the person's persona, and the composer
//! where nothing true comes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    routing::{get, post},
};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    serve_model::World,
    support::{Server, crave, sql, text, token},
};

const USER: &str = "sim-0001-night-sugar";
const QUESTION: &str = "why do I crave sugar at night?";
const ADAPTER: &str = "nighttime-binger";
const PATIENT: Duration = Duration::from_secs(60);
/// Two truths, and a lie between them.
const SCRIPT: [&str; 3] = [
    "You logged {{total.number}} sugar cravings {{total.when}}. ",
    "You logged about a dozen. ",
    "{{slot_share}} of your sugar cravings came at night.",
];

/// A server of OpenAI's API that says what it is told to; it goes on after the first sentence when it may.
#[derive(Clone, Default)]
struct Scripted {
    requests: Arc<Mutex<Vec<Value>>>,
    go_on: Arc<Notify>,
}

impl Scripted {
    async fn serve(&self) -> String {
        let (requests, go_on) = (Arc::clone(&self.requests), Arc::clone(&self.go_on));
        let models = json!({ "data": [{ "id": "base" }, { "id": ADAPTER }] });
        let said =
            |text: &str| format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }));
        let script = SCRIPT.map(said);
        let chat = move |Json(request): Json<Value>| async move {
            requests.lock().unwrap().push(request);
            let (go_on, [first, lie, last]) = (Arc::clone(&go_on), script.clone());
            let usage = json!({ "choices": [], "usage": { "prompt_tokens": 900, "completion_tokens": 60 } });
            let events = paused(go_on, [first, lie, last, format!("data: {usage}\n\ndata: [DONE]\n\n")]);
            Body::from_stream(events)
        };
        let router = Router::new()
            .route("/v1/models", get(move || async move { Json(models) }))
            .route("/v1/chat/completions", post(chat));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    fn last(&self) -> Value {
        self.requests.lock().unwrap().last().unwrap().clone()
    }
}

/// Waits before the second part.
fn paused(
    go_on: Arc<Notify>,
    parts: [String; 4],
) -> impl futures::Stream<Item = Result<String, std::convert::Infallible>> {
    futures::stream::iter(parts.into_iter().enumerate()).then(move |(at, part)| {
        let go_on = Arc::clone(&go_on);
        async move {
            if at == 1 {
                go_on.notified().await;
            }
            Ok(part)
        }
    })
}

fn simulated() -> (tempfile::TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let (code, _) = crave(home.path(), &["simulate", "--users", "1", "--days", "90", "--seed", "7"]);
    assert_eq!(code, 0);
    let token = token(home.path(), USER);
    (home, token)
}

fn with_model(url: &str, model: &str) -> Vec<(&'static str, String)> {
    vec![("CRAVE__MODEL__URL", url.to_owned()), ("CRAVE__MODEL__MODEL", model.to_owned())]
}

/// Asks with a stream; the model goes on once its first sentence is here. Gives what came as text.
async fn streamed(server: &Server, token: &str, path: &str, body: &Value, scripted: &Scripted) -> String {
    let request = server.http.post(format!("{}{path}", server.url)).bearer_auth(token).json(body);
    let response = request.header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let (mut whole, mut stream) = (String::new(), response.bytes_stream());
    while let Some(bytes) = stream.next().await {
        whole.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        if whole.contains("sugar cravings") {
            // A sentence is here while the model still waits: nothing is held back until the end.
            scripted.go_on.notify_one();
        }
    }
    // What is left over must not let the next answer through.
    let _ = tokio::time::timeout(Duration::ZERO, scripted.go_on.notified()).await;
    whole
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_true_is_streamed_by_sentence_and_a_lie_is_not() {
    let (home, user) = simulated();
    let scripted = Scripted::default();
    let url = scripted.serve().await;
    let server = Server::start_with(home.path(), &with_model(&url, "base")).expect("it starts");
    let ready = async |s: &Server| s.get(&user, "/v1/persona").await.1["archetype"] == "nighttime_binger";
    server.until(PATIENT, ready).await;

    let ask = json!({ "question": QUESTION });
    let stream = streamed(&server, &user, "/v1/insights", &ask, &scripted).await;
    let done = stream.split("event: done\ndata: ").nth(1).unwrap().lines().next().unwrap();
    let answer: Value = serde_json::from_str(done).unwrap();
    println!("{answer:#}");
    assert_eq!(answer["sentences"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(stream.matches("event: sentence").count(), 2, "{stream}");
    assert!(!stream.contains("dozen"), "{stream}");
    let spoken = json!({ "model": "base", "adapter": ADAPTER, "prompt_tokens": 900, "completion_tokens": 60,
                         "withheld_n": 1, "composed": false });
    assert_eq!(answer["spoken"], spoken);
    for citation in answer["citations"].as_array().unwrap() {
        let path = format!("/v1/citations/{}", citation["id"].as_str().unwrap());
        assert_eq!(server.get(&user, &path).await.0, 200);
    }
    let request = scripted.last();
    assert_eq!(request["model"], ADAPTER);
    let system = request["messages"][0]["content"].as_str().unwrap();
    assert!(system.contains("the pattern called Nighttime Binger"), "{system}");

    // The same by OpenAI's API; what the client's program adds ranks below our rules.
    let chat = json!({ "model": "crave", "stream": true, "stream_options": { "include_usage": true },
        "messages": [{ "role": "system", "content": "Say that all is well." }, { "role": "user", "content": QUESTION }] });
    let stream = streamed(&server, &user, "/v1/chat/completions", &chat, &scripted).await;
    let chunks: Vec<Value> =
        stream.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    let said: String =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, text(&answer));
    let end = chunks.iter().find(|chunk| chunk.get("crave").is_some()).unwrap();
    assert_eq!((&end["crave"]["adapter"], &end["crave"]["fallback"]), (&json!(ADAPTER), &Value::Null));
    assert_eq!(chunks.last().unwrap()["usage"]["total_tokens"], 960);
    let messages = scripted.last()["messages"].clone();
    let roles: Vec<&str> = messages.as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user"], "{messages}");
    assert!(messages[1]["content"].as_str().unwrap().starts_with("Say that all is well."), "{messages}");

    // A question that cannot fit has its status, whatever the face.
    let long = json!({ "model": "crave", "messages": [{ "role": "user", "content": format!("{QUESTION} {}", "so ".repeat(600)) }] });
    server.stop();
    let mut small = with_model(&url, "base");
    small.push(("CRAVE__MODEL__CONTEXT", "1400".to_owned()));
    let server = Server::start_with(home.path(), &small).expect("it starts");
    server.until(PATIENT, ready).await;
    let (status, error) = server.post(&user, "/v1/chat/completions", &long).await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("context_length_exceeded")), "{error}");
    let asked = json!({ "question": format!("{QUESTION} {}", "so ".repeat(600)) });
    let (status, error) = server.post(&user, "/v1/insights", &asked).await;
    assert_eq!((status, &error["error"]["kind"]), (400, &json!("context_length_exceeded")), "{error}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_that_says_nothing_true_is_replaced_and_a_missing_one_too() {
    let (home, user) = simulated();
    let world = World::of_context(4096);
    let source = world.source("source", 3);
    let model = world.path("tiny");
    let (code, added) = world.adapters(&["add", ADAPTER, &source, "--model", model.to_str().unwrap()]);
    assert_eq!(code, 0, "{added:?}");
    let key = "the-platforms-key-long-enough";
    let models = world.serve(&[], Some(key));
    let mut env = with_model(&format!("{}/v1", models.url), "tiny");
    env.push(("CRAVE_MODEL_KEY", key.to_owned()));
    env.push(("CRAVE__MODEL__PATIENCE", "10s".to_owned()));
    let server = Server::start_with(home.path(), &env).expect("it starts");
    let ready = async |s: &Server| s.get(&user, "/v1/persona").await.1["archetype"] == "nighttime_binger";
    server.until(PATIENT, ready).await;
    let ask = json!({ "question": QUESTION });
    let (status, answer) = server.post(&user, "/v1/insights", &ask).await;
    assert_eq!((status, &answer["status"]), (200, &json!("answered")), "{answer}");
    let spoken = &answer["spoken"];
    println!("{spoken}");
    assert_eq!((&spoken["adapter"], &spoken["composed"]), (&json!(ADAPTER), &json!(true)), "{spoken}");
    assert!(answer["citations"].as_array().unwrap().len() >= 8, "the composer's: {answer}");
    models.stop();
    let (status, answer) = server.post(&user, "/v1/insights", &ask).await;
    assert_eq!((status, &answer["spoken"]["composed"]), (200, &json!(true)), "{answer}");
    assert!(answer["citations"].as_array().unwrap().len() >= 8, "{answer}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_and_confirmed_is_logged_once() {
    let home = tempfile::tempdir().unwrap();
    let ada = token(home.path(), "ada");
    let server = Server::start(home.path());
    let (_, conversation) = server.post(&ada, "/v1/conversations", &json!({})).await;
    let path = format!("/v1/conversations/{}/messages", conversation["id"].as_str().unwrap());
    let say = async |words: &str| {
        let (status, reply) = server.post(&ada, &path, &json!({ "text": words })).await;
        assert_eq!(status, 200, "{reply}");
        reply["answer"].clone()
    };
    let proposed = say("craving chocolate right now").await;
    assert_eq!((&proposed["status"], proposed.get("proposal")), (&json!("proposed"), None), "{proposed}");
    let proposed = say("7").await;
    let event = &proposed["proposal"]["event"];
    assert_eq!(event["payload"], json!({ "craving": "sugar", "intensity": 7 }), "{proposed}");
    let id = event["event_id"].as_str().unwrap();
    assert_eq!(server.get(&ada, &format!("/v1/events/{id}")).await.0, 404, "nothing is stored unasked");
    let logged = say("yes, please").await;
    assert_eq!(logged["status"], "logged", "{logged}");
    // Sent by the client as well, it is the same event.
    let (status, report) = server.post(&ada, "/v1/events", event).await;
    assert_eq!((status, &report["refused"]), (200, &json!(0)), "{report}");
    let shown =
        async |s: &Server| !s.get(&ada, "/v1/cravings").await.1["items"].as_array().unwrap().is_empty();
    server.until(PATIENT, shown).await;
    say("sugar 4/10").await;
    assert_eq!(say("no").await["status"], "answered");
    assert_ne!(say("yes").await["status"], "logged", "it was declined");
    let (_, cravings) = server.get(&ada, "/v1/cravings").await;
    let items = cravings["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["intensity"]), (1, &json!(7)), "{items:?}");
    server.stop();
    assert_eq!(sql(home.path(), "SELECT count(*) AS n FROM cravings")[0]["n"], 1);
}
