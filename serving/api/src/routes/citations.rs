//! `GET /v1/citations/{id}`: what a number of an answer rests on, as it was, and whether that has changed since.

use axum::{
    Json,
    extract::{Path, State},
};
use crave_insight::Detail;
use uuid::Uuid;

use crate::{App, accounts::Caller, error::ApiError};

pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Detail>, ApiError> {
    let id =
        Uuid::parse_str(&id).map_err(|_| ApiError::invalid("id", "must be the id of a citation, a UUID"))?;
    let detail = Box::pin(app.insights.citation(&caller.user_id, id)).await?;
    detail.map(Json).ok_or_else(|| {
        ApiError::not_found("no answer to you has a citation of this id, or it is too old and no longer kept")
    })
}
