//! `POST /v1/sql {"sql": …, "format"?: "json" | "csv" | "arrow"}`: the caller's own rows.

use axum::{
    Json,
    extract::State,
    http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
};
use crave_lake::{Format, Scope, to_csv, to_ipc, to_json_rows};
use serde::Deserialize;

use crate::{App, accounts::Caller, error::ApiError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    sql: String,
    format: Option<String>,
}

pub(super) async fn post(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let accept = headers.get(ACCEPT).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let format = match request.format.as_deref() {
        Some("json") => Format::Json,
        Some("csv") => Format::Csv,
        Some("arrow") => Format::Arrow,
        Some(_) => return Err(ApiError::invalid("format", "must be json, csv or arrow")),
        None if accept.contains("text/csv") => Format::Csv,
        None if accept.contains("application/vnd.apache.arrow") => Format::Arrow,
        None => Format::Json,
    };
    let answer = app.lake.query(&Scope::User(caller.user_id), &request.sql, &[]).await?;
    let (kind, bytes) = match format {
        Format::Json => ("application/json", to_json_rows(&answer.batches)?),
        Format::Csv => ("text/csv; charset=utf-8", to_csv(&answer.schema, &answer.batches)?),
        Format::Arrow => ("application/vnd.apache.arrow.stream", to_ipc(&answer.schema, &answer.batches)?),
    };
    let mut response = bytes.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let cut = HeaderValue::from_static(if answer.cut { "true" } else { "false" });
    response.headers_mut().insert("x-crave-truncated", cut);
    Ok(response)
}
