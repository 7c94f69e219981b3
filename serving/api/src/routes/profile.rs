//! `GET|PUT /v1/profile`: goals, time zone, how the coach speaks and whether texts may go to services outside, as the
//! caller chose them; and the rapport that grows with the goals shared. What is left out of a `PUT` is as if never set.

use axum::{Json, extract::State};
use crave_persona::{GOALS_MAX, Profile};
use serde_json::{Value, json};

use crate::{App, accounts::Caller, error::ApiError};

/// Longest goal.
const GOAL_CHARS_MAX: usize = 280;

pub(super) async fn get(State(app): State<App>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let chosen = app.accounts.profile(&caller.user_id).await?;
    let rapport = chosen.rapport(app.clock.now());
    let Profile { goals, time_zone, tone, remote_processing } = chosen.profile;
    Ok(Json(json!({ "goals": goals, "time_zone": time_zone, "tone": tone,
        "remote_processing": remote_processing, "rapport": rapport })))
}

pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Json(profile): Json<Profile>,
) -> Result<Json<Value>, ApiError> {
    let long = |goal: &String| goal.trim().is_empty() || goal.chars().count() > GOAL_CHARS_MAX;
    if profile.goals.len() > GOALS_MAX || profile.goals.iter().any(long) {
        let message = format!("must be at most {GOALS_MAX} texts of 1 to {GOAL_CHARS_MAX} characters");
        return Err(ApiError::invalid("goals", message));
    }
    if profile.time_zone.as_ref().is_some_and(|zone| zone.parse::<chrono_tz::Tz>().is_err()) {
        return Err(ApiError::invalid("time_zone", "must be an IANA name, such as Europe/Berlin"));
    }
    app.accounts.set_profile(&caller.user_id, &profile, app.clock.now()).await?;
    get(State(app), caller).await
}
