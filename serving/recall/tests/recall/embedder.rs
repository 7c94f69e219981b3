//! A remote embedding service: what is sent, what is taken, and what happens when it fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crave_recall::{Embedder, Embedders, ErrorKind, Mode, OpenAi, OpenAiOptions, Place, Recall, Usage};

use crate::support::openai::{DIMENSION, Service, Trick, vector};
use crate::support::{find, found, note, user};

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(x, y)| x * y).sum() };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[tokio::test]
async fn texts_go_in_batches_and_come_back_in_order() {
    let service = Service::start("words-16", true).await;
    let embedder = service.embedder();
    let texts: Vec<String> = (0..20).map(|n| format!("cake number {n} {}", "x".repeat(n))).collect();
    let vectors = embedder.embed(texts.clone()).await.unwrap();
    for (text, embedded) in texts.iter().zip(&vectors) {
        assert!((cosine(&vector(text), embedded) - 1.0).abs() < 1e-5, "{text}");
        assert!((embedded.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let question = embedder.embed_question(texts[3].clone()).await.unwrap();
    assert!(cosine(&question, &vectors[3]) > 0.9999);
    let seen = service.seen.lock().unwrap();
    assert_eq!(seen.requests.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 4, 1]);
    assert!(seen.keys.iter().all(|key| key.as_deref() == Some("Bearer sk-test")));
    assert_eq!(embedder.usage(), Usage { requests: 4, retries: 0, tokens: 83 });
    assert!(!format!("{embedder:?} {:?}", service.options()).contains("sk-test"), "a key is never printed");
}

#[tokio::test]
async fn what_passes_is_tried_again_after_the_pause_that_is_asked_for() {
    let service = Service::start("words-16", true).await;
    let embedder = service.embedder();
    service.next(Trick::Refuse(429, Some("1")));
    service.next(Trick::Refuse(503, None));
    let begin = Instant::now();
    embedder.embed(vec!["cake".to_owned()]).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(1900), "1 s, then the second pause of 1 s");
    assert_eq!((embedder.usage().requests, embedder.usage().retries), (3, 2));
    // A question does not wait for that.
    service.next(Trick::Refuse(429, Some("1")));
    let failed = embedder.embed_question("cake".to_owned()).await.unwrap_err();
    assert_eq!((failed.kind(), embedder.usage().requests), (ErrorKind::Unavailable, 4));
    // A pause that is too long is left to whoever comes again later.
    service.next(Trick::Refuse(429, Some("86400")));
    let failed = embedder.embed(vec!["cake".to_owned()]).await.unwrap_err();
    assert_eq!((failed.kind(), embedder.usage().requests), (ErrorKind::Unavailable, 5));
}

#[tokio::test]
async fn what_lasts_is_told_at_once_and_without_the_text() {
    let service = Service::start("words-16", true).await;
    let embedder = service.embedder();
    let echo = br#"{"error": "do not understand: my secret craving"}"#;
    let huge = vec![b'['; 2 << 20];
    let long = serde_json::json!({ "object": "list", "model": "m", "usage": { "prompt_tokens": 1, "total_tokens": 1 },
        "data": [{ "object": "embedding", "index": 0, "embedding": vec![0.5; DIMENSION + 1] }] });
    let table = [
        (Trick::Refuse(401, None), ErrorKind::Internal, "key"),
        (Trick::Refuse(400, None), ErrorKind::Invalid, "text_max"),
        (Trick::Refuse(307, None), ErrorKind::Internal, "307"),
        (Trick::Say(echo.to_vec()), ErrorKind::Internal, "form"),
        (Trick::Say(huge), ErrorKind::Internal, "bytes"),
        (Trick::Say(long.to_string().into_bytes()), ErrorKind::Internal, "17 numbers, not 16"),
    ];
    let requests = table.len() as u64;
    for (trick, kind, expected) in table {
        service.next(trick);
        let failed = embedder.embed(vec!["my secret craving".to_owned()]).await.unwrap_err();
        let text = format!("{failed} {failed:?}");
        assert_eq!(failed.kind(), kind, "{text}");
        assert!(text.contains(expected) && text.contains(&service.url), "{text}");
        assert!(!text.contains("secret") && !text.contains("sk-test"), "{text}");
    }
    assert_eq!(embedder.usage().requests, requests, "none is tried again");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_not_waited_for() {
    let service = Service::start("words-16", true).await;
    let options = OpenAiOptions { timeout: Duration::from_millis(200), retries: 0, ..service.options() };
    let embedder = OpenAi::new(options).unwrap();
    service.next(Trick::Wait(Duration::from_secs(5)));
    let begin = Instant::now();
    let failed = embedder.embed(vec!["cake".to_owned()]).await.unwrap_err();
    assert!(failed.kind() == ErrorKind::Unavailable && begin.elapsed() < Duration::from_secs(3), "{failed}");
}

#[tokio::test]
async fn requests_keep_to_the_rate() {
    let service = Service::start("words-16", true).await;
    let options = OpenAiOptions { requests_per_min: 600, batch_texts: 1, ..service.options() };
    let embedder = OpenAi::new(options).unwrap();
    let begin = Instant::now();
    embedder.embed(vec!["a".to_owned(); 6]).await.unwrap();
    assert!(
        begin.elapsed() >= Duration::from_millis(500),
        "six requests, 100 ms apart: {:?}",
        begin.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_those_who_agreed_are_sent_anywhere() {
    let service = Service::start("words-16", true).await;
    let agreed = Arc::new(std::sync::Mutex::new(vec!["yes".to_owned()]));
    let consent = {
        let agreed = Arc::clone(&agreed);
        Arc::new(move |user: crave_schemas::UserId| {
            let may = agreed.lock().unwrap().iter().any(|name| name == user.as_str());
            Box::pin(async move { may }) as futures::future::BoxFuture<'static, bool>
        })
    };
    let dir = tempfile::tempdir().unwrap();
    let embedders = Embedders::new(Some(service.embedder())).consent(consent);
    let recall = Recall::open_at(Place::Folder(dir.path().to_owned()), embedders).await.unwrap();
    recall.upsert(vec![note("yes", "e1", "salt please"), note("no", "e1", "sugar please")]).await.unwrap();
    assert_eq!(service.texts(), ["salt please"]);
    assert!(find(&recall, "yes", "salt").await[0].parts.dense.is_some());
    let hit = find(&recall, "no", "sugar").await.remove(0);
    assert!(hit.parts.dense.is_none() && hit.parts.lexical > 0.0, "by words alone");
    assert_eq!(service.texts(), ["salt please", "salt"]);
    assert_eq!(recall.embed_missing(10).await.unwrap(), 0);
    assert_eq!(recall.status().await.unwrap().awaiting_embedding, 1);
    // Later they agree.
    agreed.lock().unwrap().push("no".to_owned());
    assert_eq!(recall.embed_missing(10).await.unwrap(), 1);
    assert_eq!(recall.embed_missing(10).await.unwrap(), 0);
    assert!(find(&recall, "no", "sugar").await[0].parts.dense.is_some());
    assert_eq!(recall.status().await.unwrap().awaiting_embedding, 0);
    assert_eq!(recall.mode().await, Mode::Hybrid { model: "words-16".to_owned() });
    // Without anybody to ask, nobody has agreed.
    let dir = tempfile::tempdir().unwrap();
    let before = service.texts().len();
    let recall = Recall::open(dir.path(), Some(service.embedder())).await.unwrap();
    recall.upsert(vec![note("yes", "e1", "salt please")]).await.unwrap();
    assert_eq!((found(&recall, "yes", "salt").await.len(), service.texts().len()), (1, before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_away_stops_neither_writing_nor_searching() {
    let service = Service::start("words-16", true).await;
    let options = OpenAiOptions { retries: 0, ..service.options() };
    let embedder = Arc::new(OpenAi::new(options).unwrap());
    let everybody = Arc::new(|_: crave_schemas::UserId| {
        Box::pin(async { true }) as futures::future::BoxFuture<'static, bool>
    });
    let dir = tempfile::tempdir().unwrap();
    let embedders = Embedders::new(Some(embedder)).consent(everybody);
    let recall = Recall::open_at(Place::Folder(dir.path().to_owned()), embedders).await.unwrap();
    service.next(Trick::Refuse(503, None));
    recall.upsert(vec![note("u1", "e1", "salt please"), note("u1", "e2", "refused")]).await.unwrap();
    assert_eq!(recall.status().await.unwrap().awaiting_embedding, 2);
    service.next(Trick::Refuse(503, None));
    assert_eq!(found(&recall, "u1", "salt").await, ["e1"]);
    service.next(Trick::Refuse(503, None));
    assert_eq!(recall.embed_missing(10).await.unwrap_err().kind(), ErrorKind::Unavailable);
    // The batch is refused for one text: the other gets its vector.
    for status in [422, 422] {
        service.next(Trick::Refuse(status, None));
    }
    assert_eq!(recall.embed_missing(10).await.unwrap(), 1);
    assert_eq!(recall.status().await.unwrap().awaiting_embedding, 1);
    assert_eq!(recall.embed_missing(10).await.unwrap(), 1);
    assert_eq!(recall.count(&user("u1")).await.unwrap(), 2);
}
