//! `GET /v1/events/{id}`: where an event is on its way.

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
};
use crave_connect::{
    DeadLetter,
    log::{IdKey, IdState, Stored, Topic, partition_of},
};
use crave_schemas::EventId;
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
    let key = IdKey::new(&caller.user_id, event);
    let Some(entry) = app.log.lookup(&[key])?.into_iter().next().flatten() else {
        if waits(&app, partition, event).await? {
            return Ok(Json(json!({ "event_id": event, "status": "waiting" })));
        }
        return Err(ApiError::not_found("no event of yours has this id"));
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

/// Whether the id is in the part of the inbox that `admit` has not come to yet.
pub(super) async fn waits(app: &App, partition: u32, event: EventId) -> Result<bool, ApiError> {
    #[derive(Deserialize)]
    struct Id {
        event_id: EventId,
    }
    let from = app.log.position(partition).await?;
    let waiting = app.log.read(Topic::Inbox, partition, from, SEARCH_BYTES_MAX, Duration::ZERO).await?;
    let is = |s: &Stored| serde_json::from_slice::<Id>(&s.record.value).is_ok_and(|id| id.event_id == event);
    Ok(waiting.iter().any(is))
}
