//! `PUT|GET|DELETE /v1/answers/{id}/feedback`: what the caller thinks of an answer they got; one an answer, replaceable.
//! It is kept as training data only where `PUT /v1/consent` allows it.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use crave_insight::Feedback;
use uuid::Uuid;

use crate::{App, accounts::Caller, error::ApiError};

pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(feedback): Json<Feedback>,
) -> Result<Json<Feedback>, ApiError> {
    feedback.check().map_err(|(field, message)| ApiError::invalid(field, message))?;
    app.insights.citations().judge(&caller.user_id, parse(&id)?, Some(&feedback), app.clock.now()).await?;
    Ok(Json(feedback))
}

pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Feedback>, ApiError> {
    let feedback = app.insights.citations().feedback(&caller.user_id, parse(&id)?).await?;
    feedback.map(Json).ok_or_else(|| ApiError::not_found("you have not said what you think of this answer"))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    app.insights.citations().judge(&caller.user_id, parse(&id)?, None, app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse(id: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(id).map_err(|_| ApiError::invalid("id", "must be the id of an answer, a UUID"))
}
