//! Authentication: a handler that takes a [`Caller`] cannot be reached without a valid token.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};

use crate::{AccountsError, App, accounts::Caller, error::ApiError};

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        caller(&parts.headers, app).await?.ok_or_else(ApiError::unauthorized)
    }
}

/// The caller of a request; `None` without a valid token.
pub(crate) async fn caller(headers: &HeaderMap, app: &App) -> Result<Option<Caller>, AccountsError> {
    let header = headers.get(AUTHORIZATION).and_then(|h| h.to_str().ok());
    let token = header.and_then(|h| h.split_once(' '));
    match token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
        Some((_, token)) => app.accounts.caller(token.trim()).await,
        None => Ok(None),
    }
}
