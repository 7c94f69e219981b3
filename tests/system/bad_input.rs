//! DESIGN §6 at the HTTP edge: what was wrong, where, and what to do; nothing lost, no panic.

use std::{io::Write as _, time::Duration};

use serde_json::{Value, json};

use crate::support::{Dice, Server, craving, token};

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_body_gets_an_answer() {
    let home = tempfile::tempdir().unwrap();
    let token = token(home.path(), "ada");
    let server = Server::start(home.path());
    let mut dice = Dice::new(4);
    let good = craving(&dice.uuid(), 1, "sugar", 5);
    let post = async |kind: &str, encoding: &str, body: Vec<u8>| -> (u16, Value) {
        let mut request = server.http.post(format!("{}/v1/events", server.url)).bearer_auth(&token);
        request = request.header("content-type", kind).body(body);
        if !encoding.is_empty() {
            request = request.header("content-encoding", encoding);
        }
        let sent = request.send().await.unwrap();
        (sent.status().as_u16(), sent.json().await.unwrap_or(Value::Null))
    };
    let json_kind = "application/json";
    for (what, body) in [
        ("empty", b"".to_vec()),
        ("not JSON", b"hello".to_vec()),
        ("cut", good.to_string().into_bytes()[..40].to_vec()),
        ("invalid UTF-8", vec![b'{', 0xff, 0xfe, b'}']),
        ("an empty array", b"[]".to_vec()),
    ] {
        let (status, answer) = post(json_kind, "", body).await;
        assert_eq!((status, answer["error"]["field"].as_str()), (400, Some("body")), "{what}: {answer}");
    }
    let (status, answer) = post(json_kind, "gzip", b"\x1f\x8b\x08truncated".to_vec()).await;
    assert!((400..500).contains(&status), "truncated gzip: {status} {answer}");
    // The server answers and closes before all of it is sent; a client may see either. A client of its own, so
    // that no other request meets the closing connection.
    let oversized = reqwest::Client::new().post(format!("{}/v1/events", server.url)).bearer_auth(&token);
    let oversized = oversized.body(vec![b' '; 17 << 20]).send().await;
    assert!(oversized.is_err() || oversized.is_ok_and(|answer| answer.status() == 413), "oversized");

    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let (status, answer) = post(json_kind, "", deep).await;
    assert!(status == 400 || answer["refused"] == 1, "deep nesting: {status} {answer}");

    // A bad event spoils no other, and the answer names the field.
    let mut bad = good.clone();
    bad["payload"]["intensity"] = json!(11);
    let lines = format!("{good}\n{{oops\n{bad}\n{good}\n");
    let (status, answer) = post("application/x-ndjson", "", lines.clone().into_bytes()).await;
    assert_eq!(status, 200);
    assert_eq!(
        (&answer["accepted"], &answer["duplicate"], &answer["refused"]),
        (&json!(1), &json!(1), &json!(2))
    );
    assert_eq!(answer["results"][1]["code"], "malformed");
    assert_eq!(answer["results"][2]["field"], "payload.intensity");

    // The same, packed. Admitted by then: a copy sent within milliseconds may be told "accepted" once more.
    let id = good["event_id"].as_str().unwrap();
    let seen = async |s: &Server| s.get(&token, &format!("/v1/events/{id}")).await.1["status"] == "admitted";
    server.until(Duration::from_secs(10), seen).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines.as_bytes()).unwrap();
    let (status, answer) = post("application/x-ndjson", "gzip", gzip.finish().unwrap()).await;
    assert_eq!((status, &answer["duplicate"]), (200, &json!(2)), "{answer}");

    // The same id with another body is a conflict, and the first body stays.
    let mut other = good.clone();
    other["payload"]["intensity"] = json!(2);
    let (_, answer) = post(json_kind, "", other.to_string().into_bytes()).await;
    assert_eq!(answer["results"][0]["code"], "conflict", "{answer}");

    for path in [
        "/v1/analytics/summary?days=0",
        "/v1/analytics/summary?days=x",
        "/v1/analytics/summary?tz_offset_min=9999",
        "/v1/cravings?limit=0",
        "/v1/cravings?cursor=x",
        "/v1/cravings?from=yesterday",
        "/v1/cravings?nonsense=1",
        "/v1/events/1",
        "/v1/cravings/1",
    ] {
        assert_eq!(server.get(&token, path).await.0, 400, "{path}");
    }
    server.stop();
}
