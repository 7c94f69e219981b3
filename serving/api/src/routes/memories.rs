//! `/v1/memories`: all that is remembered of the caller, to list, correct, delete and export.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use crave_insight::Item;
use crave_recall::MemoryId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{App, accounts::Caller, error::ApiError};

/// Memories of a page when none is asked for, and at most.
const PAGE_MEMORIES: (usize, usize) = (100, 1_000);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    from: Option<MemoryId>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Value>, ApiError> {
    let limit = page.limit.unwrap_or(PAGE_MEMORIES.0);
    if !(1..=PAGE_MEMORIES.1).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("must be between 1 and {}", PAGE_MEMORIES.1)));
    }
    let (items, next) = app.chats.memories().list(&caller.user_id, page.from, limit).await?;
    Ok(Json(json!({ "items": items, "next_from": next })))
}

/// One JSON object a line.
pub(super) async fn export(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    let mut lines = String::new();
    for item in app.chats.memories().export(&caller.user_id).await? {
        lines.push_str(&serde_json::to_string(&item).map_err(|error| ApiError::internal(&error))?);
        lines.push('\n');
    }
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

pub(super) async fn one(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MemoryId>,
) -> Result<Json<Item>, ApiError> {
    Ok(Json(app.chats.memories().get(&caller.user_id, id).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Correction {
    text: String,
}

pub(super) async fn correct(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MemoryId>,
    Json(correction): Json<Correction>,
) -> Result<Json<Item>, ApiError> {
    Ok(Json(app.chats.memories().correct(&caller.user_id, id, &correction.text).await?))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MemoryId>,
) -> Result<StatusCode, ApiError> {
    app.chats.memories().delete(&caller.user_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
