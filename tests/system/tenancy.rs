//! TN-1: a user sees their own rows, whatever SQL they write.

use std::time::Duration;

use serde_json::json;

use crate::support::{Dice, Server, craving, token};

#[tokio::test(flavor = "multi_thread")]
async fn no_sql_reaches_another_persons_rows() {
    let home = tempfile::tempdir().unwrap();
    let (ada, bob) = (token(home.path(), "ada"), token(home.path(), "bob"));
    let server = Server::start(home.path());
    let mut dice = Dice::new(3);
    let secret = dice.uuid();
    server.send(&ada, &craving(&secret, 5, "sugar", 8)).await;
    server.send(&bob, &craving(&dice.uuid(), 5, "alcohol", 3)).await;
    let both = async |s: &Server| {
        s.query(&ada, "SELECT 1 FROM cravings").await.len() == 1
            && s.query(&bob, "SELECT 1 FROM cravings").await.len() == 1
    };
    server.until(Duration::from_secs(20), both).await;
    for query in [
        "SELECT * FROM cravings",
        "SELECT * FROM events",
        "SELECT * FROM events_current",
        "SELECT * FROM cravings WHERE user_id = 'ada' OR true",
        "SELECT a.* FROM cravings a FULL JOIN cravings b ON true",
        "WITH c AS (SELECT * FROM events) SELECT * FROM c UNION ALL SELECT * FROM c",
        "SELECT payload FROM events WHERE EXISTS (SELECT 1 FROM cravings x WHERE x.user_id <> events.user_id) OR true",
        "SELECT * FROM datafusion.public.cravings",
    ] {
        let rows = server.query(&bob, query).await;
        assert!(!rows.is_empty(), "{query}");
        let text = serde_json::to_string(&rows).unwrap();
        assert!(
            !text.contains("ada") && !text.contains("sugar") && !text.contains(&secret),
            "{query}: {text}"
        );
    }
    for not_a_query in [
        "DROP TABLE cravings",
        "INSERT INTO cravings SELECT * FROM cravings",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/crave-test-copy.csv'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT 1; SELECT 2",
        "SELEC 1",
        "",
    ] {
        let (status, body) = server.post(&bob, "/v1/sql", &json!({ "sql": not_a_query })).await;
        assert_eq!((status, body["error"]["kind"].as_str()), (400, Some("invalid")), "{not_a_query}: {body}");
    }
    let (status, _) = server.get(&bob, &format!("/v1/cravings/{secret}")).await;
    assert_eq!(status, 404);
    let (status, _) = server.get(&bob, &format!("/v1/events/{secret}")).await;
    assert_eq!(status, 404);
    // Another's craving and none at all get the same answer, whatever is asked of it.
    for (method, body) in [("PATCH", json!({ "intensity": 1 })), ("DELETE", json!(null))] {
        let theirs = server.ask(method, &bob, &format!("/v1/cravings/{secret}"), &body).await;
        let none = server.ask(method, &bob, &format!("/v1/cravings/{}", dice.uuid()), &body).await;
        assert_eq!((theirs.0, &theirs), (404, &none), "{method}");
    }
    let (_, answer) = server.post(&ada, "/v1/insights", &json!({ "question": "how many cravings?" })).await;
    let judged = format!("/v1/answers/{}/feedback", answer["id"].as_str().unwrap());
    let thumb = json!({ "thumb": "up" });
    for (method, expected) in [("PUT", 200), ("GET", 200)] {
        assert_eq!(server.ask(method, &ada, &judged, &thumb).await.0, expected);
    }
    for method in ["PUT", "GET", "DELETE"] {
        let theirs = server.ask(method, &bob, &judged, &thumb).await;
        let none = server.ask(method, &bob, &format!("/v1/answers/{}/feedback", dice.uuid()), &thumb).await;
        assert_eq!((theirs.0, &theirs), (404, &none), "{method}");
    }
    let allowed = json!({ "training": true });
    assert_eq!(server.put(&ada, "/v1/consent", &allowed).await, (200, allowed.clone()));
    let nothing = json!({ "training": false });
    assert_eq!(server.get(&bob, "/v1/consent").await, (200, nothing));
    let (status, body) = server.ask("DELETE", &bob, "/v1/me", &json!({ "confirm": "ada" })).await;
    assert_eq!(
        (status, body["error"]["field"].as_str()),
        (400, Some("confirm")),
        "nobody erases another: {body}"
    );
    assert_ne!(server.get(&bob, &format!("/v1/erasures/{}", dice.uuid())).await.0, 200);
    let goals = json!({ "goals": ["no sweets after nine"], "time_zone": "Europe/Oslo", "tone": "direct" });
    let (status, profile) = server.put(&ada, "/v1/profile", &goals).await;
    assert_eq!((status, &profile["rapport"]), (200, &json!("familiar")), "{profile}");
    let correction = json!({ "archetype": "nighttime_binger" });
    let (status, persona) = server.post(&ada, "/v1/persona/correction", &correction).await;
    assert_eq!((status, &persona["source"]), (200, &json!("you")), "{persona}");
    let (_, persona) = server.get(&ada, "/v1/persona").await;
    assert_eq!(persona["archetype"], "nighttime_binger", "{persona}");
    let (_, persona) = server.get(&bob, "/v1/persona").await;
    assert_eq!((&persona["archetype"], &persona["source"]), (&json!("unknown"), &json!("data")), "{persona}");
    assert_eq!(persona["evidence"]["unknown"], "few_cravings", "{persona}");
    assert_eq!(persona["by_month"][0]["n"], 1, "{persona}");
    let (_, profile) = server.get(&bob, "/v1/profile").await;
    let new =
        json!({ "goals": [], "time_zone": null, "tone": null, "remote_processing": false, "rapport": "new" });
    assert_eq!(profile, new);
    for (path, bad) in [
        ("/v1/persona/correction", json!({ "archetype": "ada" })),
        ("/v1/profile", json!({ "time_zone": "Mars/Olympus" })),
        ("/v1/profile", json!({ "goals": [""] })),
    ] {
        let (status, body) = match path {
            "/v1/profile" => server.put(&bob, path, &bad).await,
            _ => server.post(&bob, path, &bad).await,
        };
        assert_eq!((status, body["error"]["kind"].as_str()), (400, Some("invalid")), "{bad}: {body}");
    }
    for path in [
        "/v1/cravings",
        "/v1/me",
        "/v1/feed",
        "/v1/analytics/summary",
        "/v1/analytics/emotions",
        "/v1/persona",
        "/v1/profile",
        "/v1/consent",
    ] {
        let (status, body) = server.get("cw_wrong", path).await;
        assert_eq!((status, body["error"]["kind"].as_str()), (401, Some("unauthorized")), "{path}");
    }
    // What is said in OpenAI's way: the same words under the same names are each person's own.
    let told = json!({ "model": "crave", "user": "one", "metadata": { "conversation_id": "one" },
        "messages": [{ "role": "user", "content": "My aunt brought marzipan." }] });
    let (status, adas) = server.post(&ada, "/v1/chat/completions", &told).await;
    let (_, bobs) = server.post(&bob, "/v1/chat/completions", &told).await;
    assert_eq!(status, 200, "{adas}");
    let talk = |of: &serde_json::Value| of["crave"]["conversation_id"].as_str().unwrap().to_owned();
    assert_ne!(talk(&adas), talk(&bobs));
    for path in [String::new(), "/messages".to_owned()] {
        assert_eq!(server.get(&bob, &format!("/v1/conversations/{}{path}", talk(&adas))).await.0, 404);
    }
    // By the id of another's conversation one begins one's own.
    let named = json!({ "model": "crave", "metadata": { "conversation_id": talk(&adas) }, "messages": [
        { "role": "user", "content": "My aunt brought marzipan." }, { "role": "assistant", "content": "x" },
        { "role": "user", "content": "What did my aunt bring?" }] });
    let before = server.get(&ada, "/v1/conversations").await.1;
    let (_, own) = server.post(&bob, "/v1/chat/completions", &named).await;
    assert_ne!(talk(&own), talk(&adas));
    assert_eq!(server.get(&ada, "/v1/conversations").await.1, before, "nothing of ada's has changed");
    for (method, path) in
        [("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/models/crave")]
    {
        let asked = server.http.request(method.parse().unwrap(), format!("{}{path}", server.url));
        let answer = asked.bearer_auth("cw_wrong").json(&told).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], "invalid_api_key", "{path}: {body}");
    }
    let csv =
        server.http.post(format!("{}/v1/sql", server.url)).bearer_auth(&bob).header("accept", "text/csv");
    let csv = csv.json(&json!({ "sql": "SELECT craving, intensity FROM cravings" })).send().await.unwrap();
    assert_eq!(csv.text().await.unwrap(), "craving,intensity\nalcohol,3\n");
    server.stop();
}
