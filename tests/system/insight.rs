//! Questions and answers: the planted cause is named, every number opens, a crisis gets help, tenants stay apart.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Dice, Server, crave, craving, minutes_ago, text, token};

const QUESTION: &str = "why do I crave sugar at night?";
/// How soon a posted craving must be in an insight (the aim of issue 2).
const FRESH: Duration = Duration::from_secs(2);
const PATIENT: Duration = Duration::from_secs(60);

async fn ask(server: &Server, token: &str, question: &str) -> Value {
    let (status, answer) = server.post(token, "/v1/insights", &json!({ "question": question })).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn the_planted_cause_is_named_and_every_citation_opens() {
    let home = tempfile::tempdir().unwrap();
    let (code, _) = crave(home.path(), &["simulate", "--users", "1", "--days", "60", "--seed", "7"]);
    assert_eq!(code, 0);
    let truth: Value =
        serde_json::from_slice(&std::fs::read(home.path().join("simulate-truth.json")).unwrap()).unwrap();
    let planted = truth["users"][0]["trigger"].as_str().unwrap();
    assert_eq!(truth["users"][0]["user_id"], "sim-0001-night-sugar");
    let (token_of_user, stranger) =
        (token(home.path(), "sim-0001-night-sugar"), token(home.path(), "stranger"));
    let server = Server::start(home.path());

    // Notes are remembered in the background.
    let quotes = async |s: &Server| text(&ask(s, &token_of_user, QUESTION).await).contains("You wrote");
    let took = server.until(PATIENT, quotes).await;
    println!("notes are quoted after {took:?}");
    let answer = ask(&server, &token_of_user, QUESTION).await;
    println!("{}", serde_json::to_string_pretty(&answer).unwrap());
    assert_eq!(answer["status"], "answered", "{answer}");
    assert!(text(&answer).contains(planted), "{planted}: {}", text(&answer));
    assert!(text(&answer).contains("SDNN"), "{}", text(&answer));
    assert!(answer["disclaimer"].as_str().unwrap().contains("does not diagnose"));
    let citations = answer["citations"].as_array().unwrap();
    assert!(citations.len() >= 8, "{citations:?}");
    for citation in citations {
        let path = format!("/v1/citations/{}", citation["id"].as_str().unwrap());
        let (status, detail) = server.get(&token_of_user, &path).await;
        assert_eq!(status, 200, "{detail}");
        for field in ["id", "label", "value", "unit", "period"] {
            assert_eq!(detail[field], citation[field], "{field}");
        }
        assert_eq!((&detail["value_now"], &detail["changed"]), (&detail["value"], &json!(false)), "{detail}");
        assert!(!detail["rows"].as_array().unwrap().is_empty(), "{detail}");
        assert!(detail["table_version"].as_u64().unwrap() > 0 && detail["as_of"].is_string(), "{detail}");
        // The query is what the person can run themselves.
        let rows = server.query(&token_of_user, detail["query"].as_str().unwrap()).await;
        assert_eq!(rows.len(), 1, "{detail}");
        let (status, _) = server.get(&stranger, &path).await;
        assert_eq!(status, 404, "another person's citation");
    }

    let trend = ask(&server, &token_of_user, "are my sugar cravings getting better?").await;
    assert!(text(&trend).contains("By calendar month:"), "{}", text(&trend));
    println!("{}", text(&trend));
    for citation in trend["citations"].as_array().unwrap() {
        let path = format!("/v1/citations/{}", citation["id"].as_str().unwrap());
        let (_, detail) = server.get(&token_of_user, &path).await;
        assert_eq!(detail["changed"], false, "{detail}");
    }
    for question in [
        "when do I crave sugar?",
        "what triggers my cravings?",
        "how strong are my sugar cravings in the evening?",
        "how often do I resist sugar?",
        "what does my HRV do before cravings?",
        "how many cravings in the last two weeks on weekdays?",
    ] {
        let answer = ask(&server, &token_of_user, question).await;
        println!("{question}: {}", text(&answer));
        assert_eq!(answer["status"], "answered", "{question}: {answer}");
    }

    // What is taken back afterwards shows as a change.
    let count = citations.iter().find(|c| c["label"].as_str().unwrap().contains("set off by")).unwrap();
    let path = format!("/v1/citations/{}", count["id"].as_str().unwrap());
    let (_, detail) = server.get(&token_of_user, &path).await;
    let retract = json!({ "event_id": Dice::new(5).uuid(), "source": "phone", "kind": "retract",
        "event_time": minutes_ago(0), "payload": { "target": detail["rows"][0]["event_id"] } });
    server.send(&token_of_user, &retract).await;
    server.until(PATIENT, async |s| s.get(&token_of_user, &path).await.1["changed"] == true).await;
    let (_, detail) = server.get(&token_of_user, &path).await;
    assert_eq!(detail["value"], count["value"], "the value stays as it was");
    assert_eq!(detail["value_now"].as_f64(), count["value"].as_f64().map(|n| n - 1.0), "{detail}");

    let streamed = server.http.post(format!("{}/v1/insights", server.url)).bearer_auth(&token_of_user);
    let streamed = streamed.header("accept", "text/event-stream").json(&json!({ "question": QUESTION }));
    let body = streamed.send().await.unwrap().text().await.unwrap();
    assert!(body.matches("event: sentence").count() >= 4 && body.contains("event: done"), "{body}");
    let crisis = ask(&server, &token_of_user, "Why do I crave sugar? I want to kill myself.").await;
    assert_eq!((&crisis["status"], crisis["citations"].as_array().unwrap().len()), (&json!("crisis"), 0));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_craving_is_counted_and_the_edges_answer() {
    let home = tempfile::tempdir().unwrap();
    let (ada, bob) = (token(home.path(), "ada"), token(home.path(), "bob"));
    let server = Server::start(home.path());
    let nothing = ask(&server, &bob, QUESTION).await;
    assert_eq!(
        (&nothing["status"], &nothing["citations"]),
        (&json!("not_enough_data"), &json!([])),
        "{nothing}"
    );

    let mut dice = Dice::new(11);
    let mut counted = |n: u64| {
        let id = dice.uuid();
        (id, n)
    };
    let question = "how many sugar cravings did I have in the last 2 days?";
    let says = async |s: &Server, n: u64| {
        let answer = ask(s, &ada, question).await;
        answer["citations"].as_array().unwrap().iter().any(|c| c["value"].as_f64() == Some(n as f64))
    };
    let (first, n) = counted(1);
    server.send(&ada, &craving(&first, 3, "sugar", 4)).await;
    server.until(PATIENT, async |s| says(s, n).await).await;
    let (second, n) = counted(2);
    server.send(&ada, &craving(&second, 0, "sugar", 8)).await;
    let took = server.until(FRESH, async |s| says(s, n).await).await;
    println!("counted by an insight after {took:?}");

    let few = ask(&server, &ada, QUESTION).await;
    assert_eq!(few["status"], "not_enough_data", "{few}");
    let table = [
        ("how many mg of naltrexone should I take?", "out_of_scope"),
        ("what is the capital of France?", "out_of_scope"),
        ("I took all my pills", "crisis"),
        ("I could kill for chocolate, why?", "not_enough_data"),
        ("why do I crave o'sugar'); DROP TABLE cravings; --", "not_enough_data"),
    ];
    for (question, status) in table {
        let answer = ask(&server, &ada, question).await;
        assert_eq!(answer["status"], status, "{question}: {answer}");
        assert_eq!(answer["resources"].is_array(), status == "crisis", "{question}");
    }
    for bad in [json!({ "question": "" }), json!({ "question": "x".repeat(2_001) })] {
        let (status, body) = server.post(&ada, "/v1/insights", &bad).await;
        assert_eq!((status, body["error"]["field"].as_str()), (400, Some("question")), "{body}");
    }
    for (path, status) in [("nonsense", 400), ("0190b8a2-0000-7000-8000-000000000001", 404)] {
        assert_eq!(server.get(&ada, &format!("/v1/citations/{path}")).await.0, status);
    }
    assert_eq!(server.post("cw_wrong", "/v1/insights", &json!({ "question": QUESTION })).await.0, 401);
    server.stop();
}
