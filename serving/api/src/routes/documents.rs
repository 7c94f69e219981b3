//! `/v1/documents`: what the caller uploads to be remembered.
//!
//! `POST ?name=diary.md[&date=…]` with the file as the body; `GET` lists; `GET /{id}` one; `GET /{id}/original`;
//! `GET /{id}/text?from=…&to=…` the span that a citation points to; `DELETE /{id}`.

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Query, State, rejection::BytesRejection},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
};
use chrono::{DateTime, Utc};
use crave_insight::documents::{Document, Documents, NewDocument};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{App, accounts::Caller, error::ApiError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    name: String,
    date: Option<DateTime<Utc>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    from: Option<usize>,
    to: Option<usize>,
}

pub(super) async fn post(
    State(app): State<App>,
    caller: Caller,
    Query(named): Query<Named>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Document>), ApiError> {
    let body = body.map_err(|_| ApiError::too_large("a document may have 10 MiB; split it"))?;
    let media_type = headers.get(CONTENT_TYPE).and_then(|h| h.to_str().ok()).map(str::to_owned);
    let new = NewDocument { name: named.name, media_type, date: named.date, bytes: body.to_vec() };
    let document = documents(&app)?.add(&caller.user_id, new, app.clock.now()).await?;
    Ok((StatusCode::CREATED, Json(document)))
}

pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "items": documents(&app)?.list(&caller.user_id).await? })))
}

pub(super) async fn one(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Document>, ApiError> {
    let found = documents(&app)?.get(&caller.user_id, parse(&id)?).await?;
    found.map(Json).ok_or_else(unknown)
}

pub(super) async fn original(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let original = documents(&app)?.original(&caller.user_id, parse(&id)?).await?.ok_or_else(unknown)?;
    // Never shown by the browser in our name: it may be a page with scripts.
    let headers = [(CONTENT_TYPE, "application/octet-stream"), (CONTENT_DISPOSITION, "attachment")];
    Ok((headers, original).into_response())
}

pub(super) async fn text(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(span): Query<Span>,
) -> Result<Json<Value>, ApiError> {
    let text = documents(&app)?.text(&caller.user_id, parse(&id)?).await?.ok_or_else(unknown)?;
    let (from, to) = (span.from.unwrap_or(0), span.to.unwrap_or(text.len()));
    let part = text.get(from..to).ok_or_else(|| {
        ApiError::invalid("from", format!("from and to must be a span of the text's {} bytes", text.len()))
    })?;
    Ok(Json(json!({ "from": from, "to": to, "text": part })))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    match documents(&app)?.delete(&caller.user_id, parse(&id)?).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown()),
    }
}

fn documents(app: &App) -> Result<&Documents, ApiError> {
    app.documents.as_ref().ok_or_else(|| ApiError::unavailable("documents cannot be used at present", 30))
}

fn parse(id: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(id).map_err(|_| ApiError::invalid("id", "must be the id of a document, a UUID"))
}

fn unknown() -> ApiError {
    ApiError::not_found("no document of yours has this id")
}
