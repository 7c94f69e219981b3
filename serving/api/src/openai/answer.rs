//! Answers, whole or as server-sent events, from the pieces that somebody writes.

use axum::{
    Json,
    response::{IntoResponse, Response, sse::Event},
};
use futures::{Stream, StreamExt as _};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::OpenAiError;
use crate::sse;

/// How the answer is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON object.
    Whole,
    /// Server-sent events, a chunk each, then `[DONE]`.
    Events {
        /// A last chunk tells the tokens.
        include_usage: bool,
    },
}

/// What comes of a request, in order: texts, then one of the other two.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The next piece of the answer.
    Text(String),
    /// Fields of our own for the whole answer, or for the chunk that ends it.
    Extension(Map<String, Value>),
    /// The answer is complete.
    Done {
        /// Why it ended.
        finish: FinishReason,
        /// What it took.
        usage: Usage,
    },
    /// It failed; what came before is not a whole answer.
    Failed(OpenAiError),
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FinishReason {
    /// The writer ended it, or a stop text came.
    Stop,
    /// It is as long as it may be.
    Length,
}

/// Tokens of a request. What a cache spared is not told: it would tell what was asked before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

impl Usage {
    /// Tokens of the prompt and of the answer.
    pub(crate) fn new(prompt_tokens: usize, completion_tokens: usize) -> Self {
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

/// What an answer and all its chunks have in common.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// `chatcmpl-…`, never used twice.
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: i64,
    /// The name that was asked.
    pub(crate) model: String,
    /// The weights that answered; equal for equal weights.
    pub(crate) fingerprint: Option<String>,
    /// What else is to be said of the answer; left out when empty.
    pub(crate) metadata: Map<String, Value>,
}

impl Head {
    fn object(&self, object: &str, choices: &Value) -> Value {
        let mut answer = json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model,
            "system_fingerprint": self.fingerprint, "choices": choices,
        });
        if !self.metadata.is_empty() {
            answer["metadata"] = Value::Object(self.metadata.clone());
        }
        answer
    }

    fn whole(&self, text: &str, finish: FinishReason, usage: Usage, more: Map<String, Value>) -> Value {
        let message = json!({ "role": "assistant", "content": text, "refusal": null });
        let choice = json!([{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish }]);
        let mut answer = self.object("chat.completion", &choice);
        answer["usage"] = json!(usage);
        extend(&mut answer, more);
        answer
    }

    /// With `include_usage` every chunk but the last says that its usage is null.
    fn chunk(&self, delta: &Value, finish: Option<FinishReason>, include_usage: bool) -> Value {
        let choices = json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]);
        let mut chunk = self.object("chat.completion.chunk", &choices);
        if include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn usage(&self, usage: Usage) -> Event {
        let mut chunk = self.object("chat.completion.chunk", &json!([]));
        chunk["usage"] = json!(usage);
        event(&chunk)
    }
}

fn extend(answer: &mut Value, more: Map<String, Value>) {
    if let Value::Object(answer) = answer {
        answer.extend(more);
    }
}

/// JSON has no raw line breaks, which an event's data may not have.
fn event(data: &Value) -> Event {
    Event::default().data(data.to_string())
}

/// Sends what `pieces` writes. The first piece is waited for, so that a request that cannot run gets its status; a
/// client that goes away drops `pieces`.
pub(crate) async fn respond(
    head: Head,
    form: Form,
    pieces: impl Stream<Item = Piece> + Send + 'static,
) -> Response {
    let mut pieces = Box::pin(pieces);
    match form {
        Form::Whole => {
            let (mut text, mut extension) = (String::new(), Map::new());
            loop {
                match pieces.next().await {
                    Some(Piece::Text(piece)) => text.push_str(&piece),
                    Some(Piece::Extension(more)) => extension.extend(more),
                    Some(Piece::Done { finish, usage }) => {
                        return Json(head.whole(&text, finish, usage, extension)).into_response();
                    }
                    Some(Piece::Failed(error)) => return error.into_response(),
                    None => return cut_off().into_response(),
                }
            }
        }
        Form::Events { include_usage } => {
            let first = match pieces.next().await {
                Some(Piece::Failed(error)) => return error.into_response(),
                None => return cut_off().into_response(),
                Some(first) => first,
            };
            let pieces = futures::stream::iter([first]).chain(pieces);
            sse::stream(events(head, include_usage, pieces))
        }
    }
}

fn events(
    head: Head,
    include_usage: bool,
    pieces: impl Stream<Item = Piece> + Send + Unpin + 'static,
) -> impl Stream<Item = Event> + Send + 'static {
    async_stream::stream! {
        yield event(&head.chunk(&json!({ "role": "assistant", "content": "" }), None, include_usage));
        let (mut pieces, mut extension) = (pieces, Map::new());
        loop {
            match pieces.next().await {
                Some(Piece::Text(text)) => {
                    yield event(&head.chunk(&json!({ "content": text }), None, include_usage));
                }
                Some(Piece::Extension(more)) => extension.extend(more),
                Some(Piece::Done { finish, usage }) => {
                    let mut last = head.chunk(&json!({}), Some(finish), include_usage);
                    extend(&mut last, std::mem::take(&mut extension));
                    yield event(&last);
                    if include_usage {
                        yield head.usage(usage);
                    }
                    yield Event::default().data("[DONE]");
                    return;
                }
                // No `[DONE]`: what came is not a whole answer.
                Some(Piece::Failed(error)) => {
                    yield event(&error.body());
                    return;
                }
                None => {
                    yield event(&cut_off().body());
                    return;
                }
            }
        }
    }
}

/// Whoever wrote the answer has gone.
fn cut_off() -> OpenAiError {
    OpenAiError::unavailable("the server stopped before the answer was complete; ask again")
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, http::StatusCode};

    use super::*;

    async fn answer(form: Form, pieces: Vec<Piece>) -> (StatusCode, String) {
        let head = Head {
            id: "chatcmpl-1".into(),
            created: 7,
            model: "m".into(),
            fingerprint: None,
            metadata: Map::new(),
        };
        let response = respond(head, form, futures::stream::iter(pieces)).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn pieces(last: Piece) -> Vec<Piece> {
        let extension = json!({ "ours": { "id": 1 } }).as_object().unwrap().clone();
        vec![Piece::Text("a\n".into()), Piece::Extension(extension), Piece::Text("b".into()), last]
    }

    fn done() -> Piece {
        Piece::Done { finish: FinishReason::Stop, usage: Usage::new(3, 2) }
    }

    #[tokio::test]
    async fn whole() {
        let (status, body) = answer(Form::Whole, pieces(done())).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["object"]), (StatusCode::OK, &json!("chat.completion")));
        assert_eq!(body["choices"][0]["message"]["content"], "a\nb");
        assert_eq!((&body["choices"][0]["finish_reason"], &body["ours"]["id"]), (&json!("stop"), &json!(1)));
        let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 });
        assert_eq!(body["usage"], usage, "and nothing of the cache");
        let (status, _) = answer(Form::Whole, pieces(Piece::Failed(OpenAiError::overloaded("x")))).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer(Form::Whole, vec![]).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn events() {
        for include_usage in [false, true] {
            let (status, body) = answer(Form::Events { include_usage }, pieces(done())).await;
            assert_eq!(status, StatusCode::OK);
            let data: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            let (last, chunks) = data.split_last().unwrap();
            assert_eq!(*last, "[DONE]");
            let chunks: Vec<Value> =
                chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
            let text: String =
                chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
            assert_eq!(
                (text.as_str(), &chunks[0]["choices"][0]["delta"]["role"]),
                ("a\nb", &json!("assistant"))
            );
            let finishes = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"] == "stop");
            assert_eq!(finishes.map(|chunk| &chunk["ours"]["id"]).collect::<Vec<_>>(), [&json!(1)]);
            let usages: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk.get("usage")).collect();
            match include_usage {
                true => assert_eq!(usages.last().unwrap()["total_tokens"], 5),
                false => assert!(usages.is_empty()),
            }
        }
    }

    #[tokio::test]
    async fn a_failure_has_its_status_until_the_stream_began() {
        let form = Form::Events { include_usage: false };
        let failed = || Piece::Failed(OpenAiError::overloaded("full"));
        assert_eq!(answer(form, vec![failed()]).await.0, StatusCode::TOO_MANY_REQUESTS);
        let (status, body) = answer(form, pieces(failed())).await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("rate_limit_exceeded") && !body.contains("[DONE]"), "{body}");
        let (_, body) = answer(form, vec![Piece::Text("a".into())]).await;
        assert!(body.contains("stopped before") && !body.contains("[DONE]"), "{body}");
    }
}
