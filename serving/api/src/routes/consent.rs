//! `GET|PUT /v1/consent`: what the caller allows beyond what the service needs. Nothing, until they say so.

use axum::{Json, extract::State};

use crate::{
    App,
    accounts::{Caller, Consent},
    error::ApiError,
};

pub(super) async fn get(State(app): State<App>, caller: Caller) -> Result<Json<Consent>, ApiError> {
    Ok(Json(app.accounts.consent(&caller.user_id).await?))
}

pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Json(consent): Json<Consent>,
) -> Result<Json<Consent>, ApiError> {
    app.accounts.set_consent(&caller.user_id, consent, app.clock.now()).await?;
    Ok(Json(consent))
}
