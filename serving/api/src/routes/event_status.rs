//! `GET /v1/events/{id}`: where an event is on its way.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
};
use crave_connect::{
    DeadLetter,
    log::{IdEntry, IdKey, IdState, Stored, Topic, partition_of},
};
use crave_schemas::{EventId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{App, accounts::Caller, error::ApiError};

/// Bytes of waiting inbox that are searched for an id.
const SEARCH_BYTES_MAX: usize = 16 << 20;

pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let event = EventId::parse(&id).map_err(|refusal| ApiError::invalid("id", refusal.reason))?;
    let partition = partition_of(caller.user_id.as_str(), app.log.partitions());
    let entry = match whereabouts(&app, &caller.user_id, event).await? {
        Whereabouts::Known(entry) => entry,
        Whereabouts::Waits => return Ok(Json(json!({ "event_id": event, "status": "waiting" }))),
        Whereabouts::Nowhere => return Err(ApiError::not_found("no event of yours has this id")),
    };
    if entry.state == IdState::Dead {
        let read = app.log.read(Topic::Dead, partition, entry.offset, 1, Duration::ZERO).await?;
        let letter: Option<DeadLetter> =
            read.first().and_then(|s| serde_json::from_slice(&s.record.value).ok());
        let refusal = letter.map(|l| l.refusal);
        return Ok(Json(json!({ "event_id": event, "status": "dead", "refusal": refusal })));
    }
    let state = match entry.state {
        IdState::Retracted => "retracted",
        IdState::Erased => "erased",
        _ => "admitted",
    };
    let stored = app.observer.is_stored(partition, entry.offset);
    let version = if stored {
        Some(app.tables.get("events").map_err(crave_lake::Error::from)?.version().await)
    } else {
        None
    };
    Ok(Json(json!({ "event_id": event, "status": state, "table": "events", "table_version": version })))
}

/// Where an id is.
pub(super) enum Whereabouts {
    /// In the index.
    Known(IdEntry),
    /// In the inbox, before `admit`.
    Waits,
    /// Nowhere.
    Nowhere,
}

/// Where the id of a person's event is.
pub(super) async fn whereabouts(app: &App, user: &UserId, event: EventId) -> Result<Whereabouts, ApiError> {
    let known =
        || Ok::<_, ApiError>(app.log.lookup(&[IdKey::new(user, event)])?.into_iter().next().flatten());
    if let Some(entry) = known()? {
        return Ok(Whereabouts::Known(entry));
    }
    if waits(app, partition_of(user.as_str(), app.log.partitions()), event).await? {
        return Ok(Whereabouts::Waits);
    }
    // It may have been admitted between the two looks.
    Ok(known()?.map_or(Whereabouts::Nowhere, Whereabouts::Known))
}

/// Whether the id is in the part of the inbox that `admit` has not come to yet.
async fn waits(app: &App, partition: u32, event: EventId) -> Result<bool, ApiError> {
    #[derive(Deserialize)]
    struct Id {
        event_id: EventId,
    }
    let from = app.log.position(partition).await?;
    let waiting = app.log.read(Topic::Inbox, partition, from, SEARCH_BYTES_MAX, Duration::ZERO).await?;
    let is = |s: &Stored| serde_json::from_slice::<Id>(&s.record.value).is_ok_and(|id| id.event_id == event);
    Ok(waiting.iter().any(is))
}
