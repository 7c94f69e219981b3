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
//! | `spoken` | the model that spoke, what of it was withheld, and whether the composer spoke as well; absent where none did |
//! | `persona`, `adapter` | who the caller is as a craver, and the adapter that spoke; null where none did |
//! | `fallback` | why no adapter spoke: `no_model` (none is set, or the caller does not allow it), `composed` (from facts alone), `no_adapter` (the base with the persona's prompt), `crisis` (the fixed answer), `task` |
//!
//! A stream carries each sentence once it is released. `usage` counts what a model read and said; what is composed takes
//! no tokens. The header is missing where a stream begins before the conversation is kept.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue},
    response::{IntoResponse as _, Response},
};
use crave_insight::{Coach, Completion, Kind, Reply, Sentence, Speaker, Status, Telling, Told};
use crave_persona::archetypes;
use crave_schemas::UserId;
use futures::{StreamExt as _, future::BoxFuture};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::spoken::{Said, said};
use crate::{
    App,
    accounts::Caller,
    auth,
    coach::{Chosen, coach},
    openai::{ChatRequest, FinishReason, Form, Head, OpenAiError, Piece, Usage, respond},
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
    let chosen = Box::pin(coach(&app, &user)).await;
    // Its cause is in the log.
    let mut chosen = chosen.map_err(|_| OpenAiError::unavailable("answers cannot be given at present"))?;
    if request.model != OWN {
        chosen.coach.adapter = Some(request.model.clone());
    }
    let head = Head {
        id: format!("chatcmpl-{}", Uuid::now_v7().simple()),
        created: app.clock.now().timestamp(),
        model: request.model,
        fingerprint: None,
        metadata: Map::new(),
    };
    let own = chosen.coach.clone();
    let work = |coach: Coach| -> BoxFuture<'static, _> {
        Box::pin(async move { answered(&app, &user, &telling, &chosen, &coach).await })
    };
    // A client that goes away drops all of it.
    let mut told = Box::pin(said(own, work));
    let mut first = told.next().await;
    while request.form == Form::Whole && matches!(first, Some(Said::Sentence(_))) {
        first = told.next().await;
    }
    let first = match first {
        // All is decided before the first byte, so that a failure has its status.
        Some(Said::Done(Err(error))) => return Err(error),
        Some(Said::Done(Ok((completion, more)))) => {
            let text = completion.reply.answer.pieces().into_iter().map(Piece::Text);
            let pieces: Vec<Piece> = text.chain(end(&completion, more)).collect();
            let mut response = respond(head, request.form, futures::stream::iter(pieces)).await;
            let id = completion.conversation.map(|id| id.to_string());
            if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
                response.headers_mut().insert(CONVERSATION, id);
            }
            return Ok(response);
        }
        Some(Said::Sentence(first)) => first.text,
        None => return Err(OpenAiError::unavailable("the server stopped before it answered; ask again")),
    };
    let rest = told.flat_map(|one| {
        futures::stream::iter(match one {
            Said::Sentence(Sentence { text, .. }) => vec![Piece::Text(format!(" {text}"))],
            Said::Done(Ok((completion, more))) => end(&completion, more).into(),
            Said::Done(Err(error)) => vec![Piece::Failed(error)],
        })
    });
    let pieces = futures::stream::iter([Piece::Text(first)]).chain(rest);
    Ok(respond(head, request.form, pieces).await)
}

/// The answer, and what of it goes beside the text.
async fn answered(
    app: &App,
    user: &UserId,
    telling: &Telling,
    chosen: &Chosen,
    coach: &Coach,
) -> Result<(Completion, Map<String, Value>), OpenAiError> {
    let told = Box::pin(app.chats.tell(user, telling, coach)).await.map_err(|error| failed(&error))?;
    let reply = Reply { answer: chosen.toned(told.reply.answer), ..told.reply };
    let completion = Completion { reply, ..told };
    let persona = persona(app, user, chosen, &completion).await;
    let has_model = app.insights.is_spoken(coach);
    let more = extension(&completion, persona.as_deref(), has_model)?;
    Ok((completion, more))
}

/// What ends an answer.
fn end(completion: &Completion, more: Map<String, Value>) -> [Piece; 2] {
    let spoken = completion.reply.answer.spoken.as_ref();
    let usage = spoken.map_or_else(Usage::default, |by| Usage::new(by.prompt_tokens, by.completion_tokens));
    [Piece::Extension(more), Piece::Done { finish: FinishReason::Stop, usage }]
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
async fn persona(app: &App, user: &UserId, chosen: &Chosen, completion: &Completion) -> Option<String> {
    let plain = completion.conversation.is_none() || completion.reply.answer.status == Status::Crisis;
    if plain {
        return None;
    }
    if chosen.persona.is_some() {
        return chosen.persona.clone();
    }
    Box::pin(super::persona::of(app, user)).await.ok().map(|persona| persona.archetype)
}

fn extension(
    completion: &Completion,
    persona: Option<&str>,
    has_model: bool,
) -> Result<Map<String, Value>, OpenAiError> {
    let reply = &completion.reply;
    let mut crave = match serde_json::to_value(&reply.answer) {
        Ok(Value::Object(answer)) => answer,
        Ok(_) => Map::new(),
        Err(error) => return Err(OpenAiError::internal(&error)),
    };
    let spoken = reply.answer.spoken.as_ref();
    let adapter = spoken.and_then(|spoken| spoken.adapter.as_deref());
    let fallback = match (completion.conversation, reply.answer.status) {
        (None, _) => Some("task"),
        (_, Status::Crisis) => Some("crisis"),
        _ if !has_model => Some("no_model"),
        _ if spoken.is_none() => Some("composed"),
        _ => adapter.is_none().then_some("no_adapter"),
    };
    let answer_id = completion.conversation.map(|id| format!("{id}#{}", reply.turn));
    // By which it can be judged, where answers have an id of their own.
    let answer_id = crave.remove("id").or(answer_id.map(Value::from));
    for (name, value) in [
        ("answer_id", json!(answer_id)),
        ("conversation_id", json!(completion.conversation)),
        ("recalled", json!(reply.recalled)),
        ("persona", json!(persona)),
        ("adapter", json!(adapter)),
        ("fallback", json!(fallback)),
    ] {
        crave.insert(name.to_owned(), value);
    }
    Ok(Map::from_iter([("crave".to_owned(), Value::Object(crave))]))
}

fn failed(error: &crave_insight::Error) -> OpenAiError {
    match error.kind() {
        _ if matches!(error, crave_insight::Error::ContextLength { .. }) => {
            OpenAiError::context_length(error.to_string())
        }
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
