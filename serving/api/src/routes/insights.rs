//! `POST /v1/insights {"question": …}`: an answer from the caller's own log, whole or as server-sent events
//! (`Accept: text/event-stream`: a `sentence` each, then `done` with the whole).

use std::convert::Infallible;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header::ACCEPT},
    response::{
        IntoResponse as _, Response,
        sse::{Event, Sse},
    },
};
use serde::Deserialize;

use crate::{App, accounts::Caller, error::ApiError, tone::toned};

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
    let answer = Box::pin(app.insights.ask(&caller.user_id, &request.question)).await?;
    let answer = toned(&app.accounts, &caller.user_id, answer).await?;
    let streamed = headers.get(ACCEPT).and_then(|h| h.to_str().ok());
    if !streamed.is_some_and(|accept| accept.contains("text/event-stream")) {
        return Ok(Json(answer).into_response());
    }
    let mut events = Vec::with_capacity(answer.sentences.len() + 1);
    for sentence in &answer.sentences {
        events.push(Event::default().event("sentence").json_data(sentence));
    }
    events.push(Event::default().event("done").json_data(&answer));
    let events: Vec<Event> =
        events.into_iter().collect::<Result<_, _>>().map_err(|e| ApiError::internal(&e))?;
    let stream = futures::stream::iter(events.into_iter().map(Ok::<_, Infallible>));
    Ok(Sse::new(stream).into_response())
}
