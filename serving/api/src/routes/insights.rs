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
use crave_insight::{Coach, Sentence, Voice};
use crave_persona::{Profile, Tone};
use serde::{Deserialize, Serialize};

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
    let coach = coach(&app.accounts.profile(&caller.user_id).await?.profile);
    let asked = app.insights.ask_coach(&caller.user_id, &request.question, None, &coach, None);
    let answer = Box::pin(asked).await?;
    let answer = toned(&app.accounts, &caller.user_id, answer).await?;
    if wants_events(&headers) { events(&answer.sentences, &answer) } else { Ok(Json(answer).into_response()) }
}

/// What a person chose, for a model that speaks.
fn coach(profile: &Profile) -> Coach {
    let voice = match profile.tone {
        Some(Tone::Warm) => Voice::Warm,
        Some(Tone::Direct) => Voice::Direct,
        Some(Tone::Neutral) | None => Voice::Neutral,
    };
    Coach { voice, remote_allowed: profile.remote_processing, ..Coach::default() }
}

/// Whether the client reads events.
pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|h| h.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// A `sentence` each, then `done` with the whole.
pub(super) fn events(sentences: &[Sentence], whole: &impl Serialize) -> Result<Response, ApiError> {
    let mut events = Vec::with_capacity(sentences.len() + 1);
    for sentence in sentences {
        events.push(Event::default().event("sentence").json_data(sentence));
    }
    events.push(Event::default().event("done").json_data(whole));
    let events: Vec<Event> =
        events.into_iter().collect::<Result<_, _>>().map_err(|e| ApiError::internal(&e))?;
    let stream = futures::stream::iter(events.into_iter().map(Ok::<_, Infallible>));
    Ok(Sse::new(stream).into_response())
}
