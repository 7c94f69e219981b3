//! `GET /v1/persona`: who the caller is as a craver, with the evidence, or `unknown`. `POST /v1/persona/correction
//! {"archetype": …}`: what the caller says they are instead (`null`: none of them); it wins until they say otherwise.

use axum::{Json, extract::State};
use crave_persona::{Corrected, Persona, archetypes, corrected, read};
use crave_schemas::UserId;
use serde::Deserialize;

use crate::{App, accounts::Caller, error::ApiError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Correction {
    archetype: Option<String>,
}

pub(super) async fn get(State(app): State<App>, caller: Caller) -> Result<Json<Persona>, ApiError> {
    Ok(Json(of(&app, &caller.user_id).await?))
}

/// A person's persona; their own word wins.
pub(crate) async fn of(app: &App, user: &UserId) -> Result<Persona, ApiError> {
    let persona = Box::pin(read(&app.lake, user, app.clock.now())).await?;
    Ok(match app.accounts.persona_correction(user).await? {
        Some(correction) => corrected(persona, &archetypes()?, &correction),
        None => persona,
    })
}

pub(super) async fn correct(
    State(app): State<App>,
    caller: Caller,
    Json(correction): Json<Correction>,
) -> Result<Json<Persona>, ApiError> {
    let archetypes = archetypes()?;
    let correction = match correction.archetype {
        Some(id) if archetypes.iter().any(|archetype| archetype.id == id) => Corrected::Is(id),
        Some(_) => {
            let ids: Vec<&str> = archetypes.iter().map(|archetype| archetype.id.as_str()).collect();
            return Err(ApiError::invalid("archetype", format!("must be null or one of {}", ids.join(", "))));
        }
        None => Corrected::None,
    };
    let now = app.clock.now();
    let persona = Box::pin(read(&app.lake, &caller.user_id, now)).await?;
    app.accounts.correct_persona(&caller.user_id, &correction, &persona.archetype, now).await?;
    Ok(Json(corrected(persona, &archetypes, &correction)))
}
