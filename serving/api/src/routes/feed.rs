//! `GET /v1/feed`: the caller's events as they are admitted, as server-sent events.

use std::time::Duration;

use axum::{
    extract::State,
    response::{Response, sse::Event},
};
use crave_connect::log::{Topic, partition_of};
use crave_schemas::Admitted;
use serde_json::{Value, json};

use crate::{App, accounts::Caller, error::ApiError, sse};

/// Bytes of the partition read at once.
const READ_BYTES: usize = 1 << 20;
/// How long one read waits.
const WAIT: Duration = Duration::from_secs(10);

pub(super) async fn feed(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    let permit = app.feeds.clone().try_acquire_owned();
    let permit = permit.map_err(|_| ApiError::overloaded("too many feeds are open; try again later", 10))?;
    let partition = partition_of(caller.user_id.as_str(), app.log.partitions());
    let mut next = app.log.bounds(Topic::Events, partition).await?.end;
    let stream = async_stream::stream! {
        let _permit = permit;
        loop {
            let Ok(read) = app.log.read(Topic::Events, partition, next, READ_BYTES, WAIT).await else { return };
            let Some(last) = read.last() else { continue };
            next = last.offset + 1;
            for stored in read.iter().filter(|s| s.record.key == caller.user_id.as_str()) {
                if let Some(event) = serde_json::from_slice(&stored.record.value).ok().and_then(message) {
                    yield event;
                }
            }
        }
    };
    Ok(sse::stream(stream))
}

fn message(event: Admitted) -> Option<Event> {
    let payload: Value = serde_json::from_str(&event.payload).ok()?;
    let data = json!({
        "event_id": event.event_id,
        "kind": event.kind,
        "event_time": event.event_time,
        "received_at": event.received_at,
        "tz_offset_min": event.tz_offset_min,
        "payload": payload,
    });
    Event::default().event("event").id(event.event_id).json_data(data).ok()
}
