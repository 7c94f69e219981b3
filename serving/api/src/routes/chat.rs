//! `POST /v1/chat/completions` and `GET /v1/models`: OpenAI's API over a person's own conversations, under their token.
//!
//! The model `crave` answers with the adapter of the caller's persona; an archetype's adapter may be asked by its name.
//! The client tells the whole conversation, which [`crave_insight::Chats::tell`] finds by `X-Conversation-Id`, else by
//! `metadata.conversation_id` or `user`, else by what was said. The answer (a stream's last chunk) carries `crave`:
//!
//! | field | is |
//! |---|---|
//! | `answer_id` | `conversation#turn`; null where nothing is kept |
//! | `conversation_id` | `GET /v1/conversations/{id}`; also in the header `x-conversation-id` |
//! | `status` | `answered`, `not_enough_data`, `out_of_scope`, `crisis` |
//! | `sentences`, `citations`, `disclaimer`, `resources` | as of `POST /v1/insights`: each number opens by its id |
//! | `recalled` | what of the past the answer quotes |
//! | `persona`, `adapter` | who the caller is as a craver, and the adapter that spoke; null where none did |
//! | `fallback` | why no adapter spoke: `no_model` (composed from facts), `crisis` (the fixed answer), `task` |
//!
//! No model is configured here yet: what is composed from facts takes no tokens, and `usage` says 0.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue},
    response::{IntoResponse as _, Response},
};
use crave_insight::{Completion, Kind, Speaker, Status, Telling, Told};
use crave_persona::archetypes;
use crave_schemas::UserId;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    App,
    accounts::Caller,
    auth,
    openai::{ChatRequest, FinishReason, Head, OpenAiError, Piece, Usage, respond},
};

/// Bytes of a request: the longest history.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;
/// What a question takes from the caller's bucket, in events: 50 questions a second.
const QUESTION_EVENTS: usize = 100;
/// The model that is the caller's own.
const OWN: &str = "crave";
const CONVERSATION: &str = "x-conversation-id";
/// Which attempt this is, of OpenAI's own clients.
const RETRY: &str = "x-stainless-retry-count";

pub(super) async fn completions(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, OpenAiError> {
    let Caller { user_id: user, .. } = caller(&app, &headers).await?;
    let body =
        body.map_err(|_| OpenAiError::too_large("a request may have 4 MiB; begin a new conversation"))?;
    let request = ChatRequest::parse(&body)?;
    known_model(&request.model)?;
    app.rate
        .take(&user, QUESTION_EVENTS, &app.limits, app.clock.now())
        .map_err(|_| OpenAiError::overloaded("too many questions at once; try again"))?;
    let telling = telling(&headers, &request);
    // All is decided before the first byte, so that a failure has its status; a client that goes away drops it.
    let completion = Box::pin(app.chats.tell(&user, &telling)).await.map_err(|error| failed(&error))?;
    let persona = persona(&app, &user, &completion).await;
    let head = Head {
        id: format!("chatcmpl-{}", Uuid::now_v7().simple()),
        created: app.clock.now().timestamp(),
        model: request.model,
        fingerprint: None,
        metadata: Map::new(),
    };
    let pieces = completion.reply.answer.pieces().into_iter().map(Piece::Text);
    let end = [
        Piece::Extension(extension(&completion, persona.as_deref())?),
        Piece::Done { finish: FinishReason::Stop, usage: Usage::new(0, 0) },
    ];
    let pieces: Vec<Piece> = pieces.chain(end).collect();
    let mut response = respond(head, request.form, futures::stream::iter(pieces)).await;
    if let Some(id) = completion.conversation.and_then(|id| HeaderValue::from_str(&id.to_string()).ok()) {
        response.headers_mut().insert(CONVERSATION, id);
    }
    Ok(response)
}

pub(super) async fn models(State(app): State<App>, headers: HeaderMap) -> Result<Json<Value>, OpenAiError> {
    caller(&app, &headers).await?;
    let data: Vec<Value> = names()?.iter().map(|name| described(name)).collect();
    Ok(Json(json!({ "object": "list", "data": data })))
}

pub(super) async fn model(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, OpenAiError> {
    caller(&app, &headers).await?;
    known_model(&id)?;
    Ok(Json(described(&id)).into_response())
}

async fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, OpenAiError> {
    let caller = auth::caller(headers, app).await.map_err(|error| OpenAiError::internal(&error))?;
    caller.ok_or_else(OpenAiError::unauthorized)
}

/// The caller's own model, then the archetypes' adapters, which are everybody's.
fn names() -> Result<Vec<String>, OpenAiError> {
    let archetypes = archetypes().map_err(|error| OpenAiError::internal(&error))?;
    let adapters = archetypes.into_iter().map(|archetype| archetype.adapter);
    Ok(std::iter::once(OWN.to_owned()).chain(adapters).collect())
}

fn known_model(name: &str) -> Result<(), OpenAiError> {
    if names()?.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(OpenAiError::model_not_found(name))
}

fn described(name: &str) -> Value {
    let parent = (name != OWN).then_some(OWN);
    json!({ "id": name, "object": "model", "created": 0, "owned_by": "crave-wave", "parent": parent })
}

fn telling(headers: &HeaderMap, request: &ChatRequest) -> Telling {
    let header = headers.get(CONVERSATION).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let metadata = request.metadata.get("conversation_id").and_then(Value::as_str).map(str::to_owned);
    let told = |message: &crave_lora::Message| Told {
        speaker: match message.role.as_str() {
            "user" => Speaker::Person,
            "assistant" => Speaker::Assistant,
            _ => Speaker::System,
        },
        text: message.content.clone(),
    };
    let attempts = headers.get(RETRY).and_then(|count| count.to_str().ok()?.parse::<u32>().ok());
    Telling {
        label: header.or(metadata).or_else(|| request.user.clone()),
        messages: request.messages.iter().map(told).collect(),
        again: attempts.is_some_and(|attempts| attempts > 0),
    }
}

/// The caller's archetype; the answer does without when it cannot be told.
async fn persona(app: &App, user: &UserId, completion: &Completion) -> Option<String> {
    let plain = completion.conversation.is_none() || completion.reply.answer.status == Status::Crisis;
    if plain {
        return None;
    }
    Box::pin(super::persona::of(app, user)).await.ok().map(|persona| persona.archetype)
}

fn extension(completion: &Completion, persona: Option<&str>) -> Result<Map<String, Value>, OpenAiError> {
    let reply = &completion.reply;
    let mut crave = match serde_json::to_value(&reply.answer) {
        Ok(Value::Object(answer)) => answer,
        Ok(_) => Map::new(),
        Err(error) => return Err(OpenAiError::internal(&error)),
    };
    let fallback = match (completion.conversation, reply.answer.status) {
        (None, _) => "task",
        (_, Status::Crisis) => "crisis",
        _ => "no_model",
    };
    let answer_id = completion.conversation.map(|id| format!("{id}#{}", reply.turn));
    // By which it can be judged, where answers have an id of their own.
    let answer_id = crave.remove("id").or(answer_id.map(Value::from));
    for (name, value) in [
        ("answer_id", json!(answer_id)),
        ("conversation_id", json!(completion.conversation)),
        ("recalled", json!(reply.recalled)),
        ("persona", json!(persona)),
        ("adapter", Value::Null),
        ("fallback", json!(fallback)),
    ] {
        crave.insert(name.to_owned(), value);
    }
    Ok(Map::from_iter([("crave".to_owned(), Value::Object(crave))]))
}

fn failed(error: &crave_insight::Error) -> OpenAiError {
    match error.kind() {
        Kind::Invalid | Kind::NotFound => OpenAiError::invalid("messages", error.to_string()),
        Kind::Overloaded => OpenAiError::overloaded("too many questions at once; try again"),
        Kind::Unavailable => {
            tracing::error!(%error, "chat");
            OpenAiError::unavailable("answers cannot be given at present")
        }
        Kind::Internal => {
            tracing::debug!(cause = ?error, "chat");
            OpenAiError::internal(error)
        }
    }
}
