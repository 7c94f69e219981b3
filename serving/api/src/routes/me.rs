//! `GET /v1/me`: whom the token stands for. `DELETE /v1/me {"confirm": "<user id>"}`: leave nothing of the caller;
//! `GET /v1/erasures/{id}`: how far that is, and the receipt. Who has erased themselves has no token any more, so the
//! erasure's random id is all that is asked for there; its answer names nobody.

use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    App,
    accounts::Caller,
    erasures::{Erasure, Erasures},
    error::ApiError,
};

pub(super) async fn me(caller: Caller) -> Json<Value> {
    Json(json!({ "user_id": caller.user_id, "device_id": caller.device_id }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation {
    confirm: String,
}

pub(super) async fn erase(
    State(app): State<App>,
    caller: Caller,
    Json(confirmation): Json<Confirmation>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    if confirmation.confirm != caller.user_id.as_str() {
        let message = "must be your user id (GET /v1/me): this removes all that is yours, for good";
        return Err(ApiError::invalid("confirm", message));
    }
    let erasures = erasures(&app)?;
    let now = app.clock.now();
    let id = erasures.request(&caller.user_id, now).await?;
    // From here on nothing of theirs is taken in or told.
    app.accounts.revoke(&caller.user_id, now).await?;
    erasures.tell();
    let answer = json!({
        "erasure": id, "receipt": format!("/v1/erasures/{id}"),
        "message": "your tokens have ended; keep this id: it is the only way to your receipt",
    });
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

pub(super) async fn erasure(State(app): State<App>, Path(id): Path<Uuid>) -> Result<Json<Erasure>, ApiError> {
    let found = erasures(&app)?.get(id).await?;
    found.map(Json).ok_or_else(|| ApiError::not_found("no erasure has this id"))
}

fn erasures(app: &App) -> Result<&Erasures, ApiError> {
    let message =
        "this process cannot erase: that takes all parts in one process, with a local log; ask the operator";
    app.erasures.as_ref().ok_or_else(|| ApiError::unavailable(message, 3_600))
}
