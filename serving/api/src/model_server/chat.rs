//! `POST /v1/chat/completions`.

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::StatusCode,
    response::Response,
};
use crave_lora::{Event, Finish, Generation, Request, Sampling};
use futures::Stream;
use serde_json::Map;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{ModelServer, keys::Holder};
use crate::openai::{ChatRequest, FinishReason, Head, OpenAiError, Piece, Usage, respond};

/// Characters of the base's hash in an answer's fingerprint.
const FINGERPRINT_CHARS: usize = 12;

pub(super) async fn post(
    State(server): State<ModelServer>,
    holder: Holder,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, OpenAiError> {
    if server.is_stopping() {
        return Err(OpenAiError::unavailable("the server is stopping; ask again"));
    }
    let permit = server.open.clone().try_acquire_owned();
    let permit =
        permit.map_err(|_| OpenAiError::overloaded("too many requests are open; try again later"))?;
    let request = ChatRequest::parse(&body.map_err(|rejection| unread(&server, &rejection))?)?;
    let adapter = adapter(&server, &holder, &request.model)?;
    let answer_tokens_max = server.limits.answer_tokens_max;
    if request.max_tokens.is_some_and(|tokens| tokens > answer_tokens_max) {
        let why = format!("max_tokens is above what this server gives: {answer_tokens_max}");
        return Err(OpenAiError::invalid("max_tokens", why));
    }
    let id = Uuid::new_v4();
    let base = server.engine.model().sha256();
    let fingerprint = base.get(..FINGERPRINT_CHARS).map(|base| format!("fp_{base}"));
    let head = Head {
        id: format!("chatcmpl-{}", id.simple()),
        created: server.clock.now().timestamp(),
        model: request.model,
        fingerprint,
        metadata: Map::new(),
    };
    let asked = Request {
        tenant: holder.tenant(request.user.as_deref()),
        adapter,
        messages: request.messages,
        // A client's system message is its own: nothing of a stranger's is known to be public.
        public_system: false,
        max_tokens: request.max_tokens,
        sampling: match request.seeded {
            true => request.sampling,
            false => Sampling { seed: id.as_u64_pair().1, ..request.sampling },
        },
        stop: request.stop,
    };
    let engine = server.engine.clone();
    // A long prompt takes a while to be made into tokens.
    let begun = tokio::task::spawn_blocking(move || engine.generate(asked)).await;
    let generation = begun.map_err(|error| OpenAiError::internal(&error))??;
    Ok(respond(head, request.form, pieces(generation, permit)).await)
}

/// The base has no adapter; one that the caller may not use is as unknown as one that is not there.
fn adapter(server: &ModelServer, holder: &Holder, model: &str) -> Result<Option<String>, OpenAiError> {
    if model == server.engine.model().name() {
        return Ok(None);
    }
    match server.keys.borrow().may_use(holder, model) {
        true => Ok(Some(model.to_owned())),
        false => Err(OpenAiError::model_not_found(model)),
    }
}

fn unread(server: &ModelServer, rejection: &BytesRejection) -> OpenAiError {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            OpenAiError::too_large(format!("the body has more than {} bytes", server.limits.body_bytes_max))
        }
        _ => OpenAiError::malformed(rejection.body_text()),
    }
}

/// A client that goes away drops the stream, and with it the generation: the engine stops working on it.
fn pieces(mut generation: Generation, permit: OwnedSemaphorePermit) -> impl Stream<Item = Piece> + Send {
    async_stream::stream! {
        let _open = permit;
        while let Some(event) = generation.next().await {
            yield match event {
                Event::Text(text) => Piece::Text(text),
                Event::Done { finish, usage, .. } => Piece::Done {
                    finish: match finish {
                        Finish::Stop => FinishReason::Stop,
                        Finish::Length => FinishReason::Length,
                    },
                    usage: Usage::new(usage.prompt_tokens, usage.completion_tokens),
                },
                Event::Failed(error) => Piece::Failed(error.into()),
            };
        }
    }
}
