//! A service that speaks OpenAI's embeddings on loopback: each word adds to one of 16 numbers, so that equal words mean
//! the same.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use crave_recall::{Key, Model, OpenAi, OpenAiOptions};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub const DIMENSION: usize = 16;

/// What the service does with the next request, instead of answering it.
pub enum Trick {
    /// Refuses with a status and `Retry-After`.
    Refuse(u16, Option<&'static str>),
    /// Answers with these bytes.
    Say(Vec<u8>),
    /// Waits for so long, then answers.
    Wait(Duration),
}

#[derive(Default)]
pub struct Seen {
    /// The texts of each request.
    pub requests: Vec<Vec<String>>,
    /// Its `Authorization`.
    pub keys: Vec<Option<String>>,
}

pub struct Service {
    pub url: String,
    pub seen: Mutex<Seen>,
    pub tricks: Mutex<VecDeque<Trick>>,
    /// One permit a request; without one it waits.
    pub gate: Semaphore,
    model: &'static str,
}

impl Service {
    /// Starts one that serves `model`; with `open`, requests do not wait at its gate.
    pub async fn start(model: &'static str, open: bool) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let gate = Semaphore::new(if open { Semaphore::MAX_PERMITS >> 1 } else { 0 });
        let (seen, tricks) = (Mutex::default(), Mutex::default());
        let service = Arc::new(Self { url, seen, tricks, gate, model });
        let router = Router::new().route("/v1/embeddings", post(embed)).with_state(Arc::clone(&service));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        service
    }

    pub fn options(&self) -> OpenAiOptions {
        OpenAiOptions {
            url: self.url.clone(),
            key: Some(Key::new("sk-test").unwrap()),
            model: Model::new(self.model, DIMENSION).unwrap(),
            shorten: false,
            batch_texts: 8,
            text_bytes_max: 16 << 10,
            requests_per_min: 60_000,
            timeout: Duration::from_secs(20),
            retries: 3,
        }
    }

    pub fn embedder(&self) -> Arc<OpenAi> {
        Arc::new(OpenAi::new(self.options()).unwrap())
    }

    pub fn next(&self, trick: Trick) {
        self.tricks.lock().unwrap().push_back(trick);
    }

    pub fn texts(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.concat()
    }
}

/// The vector of a text: not yet of length 1.
pub fn vector(text: &str) -> Vec<f32> {
    let mut numbers = vec![0.01_f32; DIMENSION];
    for word in text.split_whitespace() {
        let sum: usize = word.to_lowercase().bytes().map(usize::from).sum();
        numbers[sum % DIMENSION] += 1.0;
    }
    numbers
}

async fn embed(State(service): State<Arc<Service>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let texts: Vec<String> = serde_json::from_value(body["input"].clone()).unwrap();
    assert_eq!((&body["model"], &body["encoding_format"]), (&json!(service.model), &json!("float")));
    let key = headers.get("authorization").map(|key| key.to_str().unwrap().to_owned());
    {
        let mut seen = service.seen.lock().unwrap();
        seen.requests.push(texts.clone());
        seen.keys.push(key);
    }
    service.gate.acquire().await.unwrap().forget();
    let trick = service.tricks.lock().unwrap().pop_front();
    match trick {
        Some(Trick::Refuse(status, after)) => {
            let mut refusal = StatusCode::from_u16(status).unwrap().into_response();
            if let Some(after) = after {
                refusal.headers_mut().insert("retry-after", HeaderValue::from_static(after));
            }
            return refusal;
        }
        Some(Trick::Say(bytes)) => return bytes.into_response(),
        Some(Trick::Wait(time)) => tokio::time::sleep(time).await,
        None => {}
    }
    // The other way round: the numbers in the answer tell the order.
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .rev()
        .map(|(index, text)| json!({ "object": "embedding", "index": index, "embedding": vector(text) }))
        .collect();
    let tokens: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    Json(json!({ "object": "list", "model": service.model, "data": data, "usage": usage })).into_response()
}
