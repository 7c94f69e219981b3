//! `GET /v1/cravings` and `/v1/cravings/{id}`: the caller's cravings as they stand now.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use chrono::{DateTime, Utc};
use crave_lake::{Query as Named, Scope, to_json_rows};
use crave_schemas::{EventId, UserId};
use datafusion::common::ScalarValue;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{App, accounts::Caller, error::ApiError};

/// Rows of a page when none is asked for, and at most.
const PAGE_ROWS: (i64, i64) = (50, 500);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    craving: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(filter): Query<Filter>,
) -> Result<Json<Value>, ApiError> {
    let limit = filter.limit.unwrap_or(PAGE_ROWS.0);
    if !(1..=PAGE_ROWS.1).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("must be between 1 and {}", PAGE_ROWS.1)));
    }
    let (cursor_time, cursor_id) = filter.cursor.as_deref().map(read_cursor).transpose()?.unzip();
    let parameters = [
        ("since", time(filter.from.or(Some(DateTime::UNIX_EPOCH)))),
        ("until", time(filter.to.or(Some(app.clock.now() + chrono::TimeDelta::minutes(5))))),
        ("craving", ScalarValue::Utf8(filter.craving.map(|c| c.trim().to_lowercase()))),
        ("cursor_time", time(cursor_time)),
        ("cursor_id", ScalarValue::Utf8(cursor_id)),
        ("limit", ScalarValue::Int64(Some(limit))),
    ];
    let items = rows(&app, caller.user_id, Named::Cravings, &parameters).await?;
    let full = i64::try_from(items.len()).is_ok_and(|n| n == limit);
    let next = items
        .last()
        .filter(|_| full)
        .map(|row| format!("{}~{}", text(row, "event_time"), text(row, "event_id")));
    Ok(Json(json!({ "items": items, "next_cursor": next })))
}

pub(super) async fn one(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = EventId::parse(&id).map_err(|refusal| ApiError::invalid("id", refusal.reason))?;
    let parameters = [("event_id", ScalarValue::Utf8(Some(id.to_string())))];
    let found = rows(&app, caller.user_id, Named::Craving, &parameters).await?;
    found.into_iter().next().map(Json).ok_or_else(|| ApiError::not_found("no craving of yours has this id"))
}

/// A named query's rows as JSON objects.
pub(super) async fn rows(
    app: &App,
    user: UserId,
    query: Named,
    parameters: &[(&str, ScalarValue)],
) -> Result<Vec<Value>, ApiError> {
    let answer = app.lake.query(&Scope::User(user), query.sql(), parameters).await?;
    let json = to_json_rows(&answer.batches)?;
    serde_json::from_slice(&json).map_err(|e| ApiError::internal(&e))
}

/// A time parameter in the tables' type.
pub(super) fn time(at: Option<DateTime<Utc>>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(at.map(|at| at.timestamp_micros()), Some("UTC".into()))
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

fn read_cursor(cursor: &str) -> Result<(DateTime<Utc>, String), ApiError> {
    let parts = cursor.split_once('~').and_then(|(at, id)| {
        let at = DateTime::parse_from_rfc3339(at).ok()?.with_timezone(&Utc);
        Some((at, EventId::parse(id).ok()?.to_string()))
    });
    parts.ok_or_else(|| ApiError::invalid("cursor", "must be the next_cursor of an earlier page"))
}
