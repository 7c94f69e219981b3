//! What the server answers has the fields that its OpenAPI document says.

use serde_json::{Value, json};

use crate::support::{Dice, Server, craving, token};

/// Checks a value against a schema, by kinds and names of fields; says what differs.
fn differs(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return differs(document, &document["components"]["schemas"][name], value, at);
    }
    if let Some(any) = schema["oneOf"].as_array() {
        let all: Option<Vec<String>> = any.iter().map(|one| differs(document, one, value, at)).collect();
        return all.map(|all| all.join(", or "));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let is = |kind: &&str| match *kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    if !kinds.iter().any(is) {
        return Some(format!("{at}: {value} is not {kinds:?}"));
    }
    match value {
        Value::Array(items) => {
            items.iter().find_map(|item| differs(document, &schema["items"], item, &format!("{at}[]")))
        }
        Value::Object(fields) if schema["properties"].is_object() => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing = required
                .filter(|name| !fields.contains_key(*name))
                .map(|name| format!("{at}.{name} is missing"))
                .next();
            missing.or_else(|| {
                fields.iter().find_map(|(name, value)| match schema["properties"].get(name) {
                    Some(schema) => differs(document, schema, value, &format!("{at}.{name}")),
                    None => Some(format!("{at}.{name} is not described")),
                })
            })
        }
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_they_are_described() {
    let home = tempfile::tempdir().unwrap();
    let ada = token(home.path(), "ada");
    let server = Server::start(home.path());
    let sent = server.http.get(format!("{}/v1/openapi.json", server.url)).send().await.unwrap();
    assert_eq!(sent.status(), 200, "no token is needed");
    let document: Value = sent.json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");

    let id = Dice::new(23).uuid();
    let event = craving(&id, 5, "sugar", 8);
    let one = async |s: &Server| s.query(&ada, "SELECT 1 FROM cravings").await.len() == 1;
    let (status, report) = server.post(&ada, "/v1/events", &event).await;
    assert_eq!(status, 200);
    server.until(std::time::Duration::from_secs(30), one).await;
    let (_, talk) = server.post(&ada, "/v1/conversations", &json!({})).await;
    let talk = format!("/v1/conversations/{}", talk["id"].as_str().unwrap());
    let (_, answer) =
        server.post(&ada, "/v1/insights", &json!({ "question": "how many sugar cravings?" })).await;
    let answered = answer["id"].as_str().unwrap().to_owned();
    let cited = answer["citations"][0]["id"].as_str().unwrap().to_owned();

    let none = json!(null);
    // Method, the path as it is described, the path as it is asked, the body.
    let calls: Vec<(&str, &str, String, Value)> = vec![
        ("post", "/v1/events", "/v1/events".into(), event),
        ("get", "/v1/events/{id}", format!("/v1/events/{id}"), none.clone()),
        ("get", "/v1/me", "/v1/me".into(), none.clone()),
        ("post", "/v1/sql", "/v1/sql".into(), json!({ "sql": "SELECT craving FROM cravings" })),
        ("get", "/v1/cravings", "/v1/cravings".into(), none.clone()),
        ("get", "/v1/cravings/{id}", format!("/v1/cravings/{id}"), none.clone()),
        ("patch", "/v1/cravings/{id}", format!("/v1/cravings/{id}"), json!({ "intensity": 4 })),
        ("get", "/v1/analytics/summary", "/v1/analytics/summary".into(), none.clone()),
        ("get", "/v1/analytics/patterns", "/v1/analytics/patterns".into(), none.clone()),
        ("get", "/v1/analytics/time-of-day", "/v1/analytics/time-of-day".into(), none.clone()),
        ("get", "/v1/analytics/intensity", "/v1/analytics/intensity".into(), none.clone()),
        ("get", "/v1/analytics/emotions", "/v1/analytics/emotions".into(), none.clone()),
        ("post", "/v1/insights", "/v1/insights".into(), json!({ "question": "how many sugar cravings?" })),
        ("get", "/v1/citations/{id}", format!("/v1/citations/{cited}"), none.clone()),
        (
            "put",
            "/v1/answers/{id}/feedback",
            format!("/v1/answers/{answered}/feedback"),
            json!({ "thumb": "up" }),
        ),
        ("get", "/v1/answers/{id}/feedback", format!("/v1/answers/{answered}/feedback"), none.clone()),
        ("put", "/v1/consent", "/v1/consent".into(), json!({ "training": true })),
        ("get", "/v1/conversations", "/v1/conversations".into(), none.clone()),
        ("post", "/v1/conversations", "/v1/conversations".into(), json!({})),
        (
            "post",
            "/v1/conversations/{id}/messages",
            format!("{talk}/messages"),
            json!({ "text": "I live in Rome." }),
        ),
        ("get", "/v1/conversations/{id}/messages", format!("{talk}/messages"), none.clone()),
        ("get", "/v1/conversations/{id}", talk, none.clone()),
        ("get", "/v1/memories", "/v1/memories".into(), none.clone()),
        ("get", "/v1/documents", "/v1/documents".into(), none.clone()),
        ("get", "/v1/persona", "/v1/persona".into(), none.clone()),
        ("put", "/v1/profile", "/v1/profile".into(), json!({ "goals": ["sleep"] })),
        ("delete", "/v1/cravings/{id}", format!("/v1/cravings/{id}"), none.clone()),
        ("get", "/v1/cravings/{id}", format!("/v1/cravings/{}", Dice::new(1).uuid()), none.clone()),
        ("get", "/v1/analytics/summary", "/v1/analytics/summary?days=0".into(), none),
    ];
    let check = |method: &str, path: &str, status: u16, body: &Value| {
        let described = &document["paths"][path][method]["responses"][status.to_string()];
        assert!(described.is_object(), "{method} {path} answers {status}, which is not described: {body}");
        let schema = &described["content"]["application/json"]["schema"];
        assert_eq!(differs(&document, schema, body, "answer"), None, "{method} {path}: {body}");
    };
    check("post", "/v1/events", 200, &report);
    for (method, path, asked, body) in calls {
        let (status, answer) = server.ask(&method.to_uppercase(), &ada, &asked, &body).await;
        check(method, path, status, &answer);
    }
    let (status, refused) = server.get("cw_wrong", "/v1/me").await;
    check("get", "/v1/me", status, &refused);
    server.stop();
}
