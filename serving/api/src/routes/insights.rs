//! `POST /v1/insights {"question": …}`: an answer from the caller's own log, whole or as server-sent events
//! (`Accept: text/event-stream`: a `sentence` each as it is released, then `done` with the whole).

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header::ACCEPT},
    response::{IntoResponse as _, Response},
};
use crave_insight::{Answer, Coach};
use crave_schemas::UserId;
use futures::future::BoxFuture;
use serde::Deserialize;

use super::spoken::{events, said};
use crate::{
    App,
    accounts::Caller,
    coach::{Chosen, coach},
    error::ApiError,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    question: String,
}

pub(super) async fn post(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Json(request): Json<Request>,
) -> Result<Response, ApiError> {
    let (user, question) = (caller.user_id, request.question);
    let chosen = Box::pin(coach(&app, &user)).await?;
    if !wants_events(&headers) {
        return Ok(Json(ask(&app, &user, &question, &chosen, &chosen.coach).await?).into_response());
    }
    let own = chosen.coach.clone();
    let work = |coach: Coach| -> BoxFuture<'static, _> {
        Box::pin(async move { ask(&app, &user, &question, &chosen, &coach).await })
    };
    events(said(own, work), |answer| answer).await
}

async fn ask(
    app: &App,
    user: &UserId,
    question: &str,
    chosen: &Chosen,
    coach: &Coach,
) -> Result<Answer, ApiError> {
    Ok(chosen.toned(Box::pin(app.insights.ask(user, question, coach)).await?))
}

/// Whether the client reads events.
pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|h| h.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}
