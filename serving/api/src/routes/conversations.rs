//! `/v1/conversations`: begin, list, read and delete one's conversations; `POST …/{id}/messages` answers within one,
//! whole or as server-sent events as `POST /v1/insights` does.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use crave_insight::{Coach, Conversation, Reply};
use crave_schemas::UserId;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    insights::wants_events,
    spoken::{events, said},
};
use crate::{
    App,
    accounts::Caller,
    coach::{Chosen, coach},
    error::ApiError,
};

/// Turns of a page when none is asked for, and at most.
const PAGE_TURNS: (i64, i64) = (50, 500);

pub(super) async fn begin(
    State(app): State<App>,
    caller: Caller,
) -> Result<(StatusCode, Json<Conversation>), ApiError> {
    Ok((StatusCode::CREATED, Json(app.chats.begin(&caller.user_id).await?)))
}

pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let items = app.chats.memories().conversations().list(&caller.user_id).await?;
    Ok(Json(json!({ "items": items })))
}

pub(super) async fn one(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<Conversation>, ApiError> {
    let found = app.chats.memories().conversations().get(&caller.user_id, id).await?;
    found.map(Json).ok_or_else(|| ApiError::not_found("no conversation of yours has this id"))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    app.chats.memories().delete_conversation(&caller.user_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Only turns before this one.
    before: Option<i64>,
    limit: Option<i64>,
}

pub(super) async fn messages(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, ApiError> {
    let limit = page.limit.unwrap_or(PAGE_TURNS.0);
    if !(1..=PAGE_TURNS.1).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("must be between 1 and {}", PAGE_TURNS.1)));
    }
    let store = app.chats.memories().conversations();
    if store.get(&caller.user_id, id).await?.is_none() {
        return Err(ApiError::not_found("no conversation of yours has this id"));
    }
    let items = store.turns(&caller.user_id, id, page.before, limit).await?;
    let full = i64::try_from(items.len()).is_ok_and(|n| n == limit);
    let before = items.first().filter(|_| full).map(|turn| turn.turn);
    Ok(Json(json!({ "items": items, "next_before": before })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    text: String,
}

pub(super) async fn say(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
    Json(message): Json<Message>,
) -> Result<Response, ApiError> {
    let (user, text) = (caller.user_id, message.text);
    let chosen = Box::pin(coach(&app, &user)).await?;
    if !wants_events(&headers) {
        return Ok(Json(reply(&app, &user, id, &text, &chosen, &chosen.coach).await?).into_response());
    }
    let own = chosen.coach.clone();
    let work = |coach: Coach| -> BoxFuture<'static, _> {
        Box::pin(async move { reply(&app, &user, id, &text, &chosen, &coach).await })
    };
    events(said(own, work), |reply| &reply.answer).await
}

async fn reply(
    app: &App,
    user: &UserId,
    id: Uuid,
    text: &str,
    chosen: &Chosen,
    coach: &Coach,
) -> Result<Reply, ApiError> {
    let reply = Box::pin(app.chats.say(user, id, text, coach)).await?;
    Ok(Reply { answer: chosen.toned(reply.answer), ..reply })
}
