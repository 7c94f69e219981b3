//! `PATCH|DELETE /v1/cravings/{id}`: the caller corrects or takes back a craving of theirs.
//!
//! Both are events like any other (`correct`, `retract`), so that tables, analytics, memories and citations follow as they
//! do for a device. The id of such an event is derived from its target and revision: the same request sent twice is one
//! event, and of two corrections of one revision the id index lets one win (409 for the other).

use std::time::Duration;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, header::IF_MATCH},
};
use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use crave_connect::{
    Submitted,
    log::{IdEntry, IdKey, IdState, Topic, partition_of},
    submit,
};
use crave_lake::Query as Named;
use crave_schemas::{Admitted, Event, EventId, Kind, Payload, UserId};
use datafusion::common::ScalarValue;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::cravings::rows;
use super::event_status::{Whereabouts, whereabouts};
use crate::{App, accounts::Caller, error::ApiError};

/// How long an answer waits for the event to be admitted.
const ADMITTED_MAX: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// Fields of a change that are not of the payload.
const BESIDE: [&str; 3] = ["event_time", "tz_offset_min", "revision"];

/// What became of a change.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    /// The craving.
    event_id: EventId,
    /// Its revision from now on; none once it is taken back.
    revision: Option<u32>,
    /// `admitted`, `waiting` (durable, and admitted soon) or `unchanged`.
    status: &'static str,
    /// The event that changes it: `GET /v1/events/{id}` tells in which version of the tables it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    change_id: Option<EventId>,
    /// When it will show.
    shows: &'static str,
}

const SHOWS: &str = "in the tables with the next epoch, in about a second (see change_id); analytics of closed periods, memories and \
                     citations follow within seconds";
const SHOWN: &str = "already";

/// A craving as it stands.
struct Current {
    revision: u32,
    event_time: DateTime<Utc>,
    tz_offset_min: Option<i16>,
    payload: Map<String, Value>,
}

pub(super) async fn patch(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(change): Json<Map<String, Value>>,
) -> Result<Json<Changed>, ApiError> {
    let (user, id, now) = (caller.user_id, parse(&id)?, app.clock.now());
    let target = target(&app, &user, id).await?;
    let Target::Known(entry) = target else { return Err(unknown()) };
    let expected = expected(&headers, &change)?;
    // Asked first: what was stored before the tables are read must be in them.
    let is_stored = app.observer.is_stored(partition_of(user.as_str(), app.log.partitions()), entry.offset);
    let Some(current) = current(&app, &user, id).await? else {
        return Err(if is_stored { unknown() } else { not_yet() });
    };
    let wanted = merged(&current, &change, now)?;
    let same = wanted.payload == current.payload
        && wanted.event_time == current.event_time
        && wanted.tz_offset_min == current.tz_offset_min;
    if same {
        // Asked for before, or no change at all.
        let revision = Some(current.revision);
        return Ok(Json(Changed {
            event_id: id,
            revision,
            status: "unchanged",
            change_id: None,
            shows: SHOWN,
        }));
    }
    if let Some(expected) = expected.filter(|expected| *expected != current.revision) {
        let message = format!("it has revision {} by now, not {expected}; read it again", current.revision);
        return Err(ApiError::conflict("revision", message));
    }
    let revision = current.revision.saturating_add(1);
    let change_id = EventId::derived(&user, format!("correct/{id}/{revision}").as_bytes());
    let event = json!({
        "event_id": change_id, "source": "api", "kind": "correct", "event_time": written(now),
        "payload": {
            "target": id, "revision": revision, "kind": "craving", "event_time": written(wanted.event_time),
            "tz_offset_min": wanted.tz_offset_min, "body": wanted.payload,
        }
    });
    let status = send(&app, &user, &event).await?;
    Ok(Json(Changed {
        event_id: id,
        revision: Some(revision),
        status,
        change_id: Some(change_id),
        shows: SHOWS,
    }))
}

pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Changed>, ApiError> {
    let (user, id) = (caller.user_id, parse(&id)?);
    let change_id = EventId::derived(&user, format!("retract/{id}").as_bytes());
    let changed = |status, shows| {
        Json(Changed { event_id: id, revision: None, status, change_id: Some(change_id), shows })
    };
    match target(&app, &user, id).await? {
        Target::Unknown => Err(unknown()),
        Target::Retracted => Ok(changed("unchanged", SHOWN)),
        Target::Known(_) => {
            let now = written(app.clock.now());
            let event = json!({ "event_id": change_id, "source": "api", "kind": "retract", "event_time": now,
                "payload": { "target": id } });
            Ok(changed(send(&app, &user, &event).await?, SHOWS))
        }
    }
}

/// What the log knows of the craving that is to be changed.
enum Target {
    /// It is the person's.
    Known(IdEntry),
    /// It was, and they took it back.
    Retracted,
    /// Not theirs, no craving, or erased: they are told the same of all.
    Unknown,
}

async fn target(app: &App, user: &UserId, id: EventId) -> Result<Target, ApiError> {
    let entry = match whereabouts(app, user, id).await? {
        Whereabouts::Known(entry) => entry,
        Whereabouts::Waits => return Err(not_yet()),
        Whereabouts::Nowhere => return Ok(Target::Unknown),
    };
    let event = admitted(app, user, entry).await?;
    let is_craving = event.is_none_or(|event| event.kind == Kind::Craving.as_str());
    Ok(match entry.state {
        IdState::Admitted if is_craving => Target::Known(entry),
        IdState::Retracted if is_craving => Target::Retracted,
        _ => Target::Unknown,
    })
}

/// An event as the log holds it; `None` where it is no longer kept there.
async fn admitted(app: &App, user: &UserId, entry: IdEntry) -> Result<Option<Admitted>, ApiError> {
    if !matches!(entry.state, IdState::Admitted | IdState::Retracted) {
        return Ok(None);
    }
    let partition = partition_of(user.as_str(), app.log.partitions());
    let read = app.log.read(Topic::Events, partition, entry.offset, 1, Duration::ZERO).await?;
    let found = read.iter().find(|stored| stored.offset == entry.offset);
    Ok(found.and_then(|stored| serde_json::from_slice(&stored.record.value).ok()))
}

/// The revision that the caller means to change, where they say it: `If-Match: "3"` or `"revision": 3`.
fn expected(headers: &HeaderMap, change: &Map<String, Value>) -> Result<Option<u32>, ApiError> {
    let said = headers.get(IF_MATCH).map(|header| header.to_str().unwrap_or_default().trim_matches('"'));
    let header = said.filter(|said| *said != "*").map(str::parse::<u32>).transpose();
    let header =
        header.map_err(|_| ApiError::invalid("If-Match", "must be the revision you read, such as \"0\""))?;
    let body = match change.get("revision") {
        None => None,
        Some(value) => {
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            let invalid = || ApiError::invalid("revision", "must be the revision you read, a number from 0");
            Some(number.ok_or_else(invalid)?)
        }
    };
    match (header, body) {
        (Some(header), Some(body)) if header != body => {
            Err(ApiError::invalid("revision", "is not the one of If-Match; send one of them"))
        }
        (header, body) => Ok(header.or(body)),
    }
}

/// The craving with the change: a field that is absent stays, one that is null goes (RFC 7396).
fn merged(current: &Current, change: &Map<String, Value>, now: DateTime<Utc>) -> Result<Current, ApiError> {
    let mut payload = current.payload.clone();
    for (name, value) in change.iter().filter(|(name, _)| !BESIDE.contains(&name.as_str())) {
        match value {
            Value::Null => payload.remove(name),
            value => payload.insert(name.clone(), value.clone()),
        };
    }
    let text = Value::Object(payload).to_string();
    let payload = Payload::parse(Kind::Craving, &text).map_err(|refusal| ApiError::refused(&refusal))?;
    let mut wanted = Current { payload: object(&payload)?, ..*current };
    if let Some(at) = change.get("event_time") {
        let at = at.as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok()).map(|at| at.to_utc());
        let at =
            at.ok_or_else(|| ApiError::invalid("event_time", "must be an RFC 3339 time with an offset"))?;
        let micros = DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at);
        if micros > now + chrono::TimeDelta::seconds(crave_schemas::LIMITS.future_s_max) {
            return Err(ApiError::invalid("event_time", "is in the future"));
        }
        wanted.event_time = micros;
    }
    match change.get("tz_offset_min") {
        None => {}
        Some(value) => {
            let minutes = value.as_i64().and_then(|minutes| i16::try_from(minutes).ok());
            let invalid = || ApiError::invalid("tz_offset_min", "must be between -720 and 840 minutes");
            wanted.tz_offset_min = Some(minutes.ok_or_else(invalid)?);
        }
    }
    Ok(wanted)
}

fn object(payload: &Payload) -> Result<Map<String, Value>, ApiError> {
    match serde_json::to_value(payload).map_err(|error| ApiError::internal(&error))? {
        Value::Object(object) => Ok(object),
        _ => Ok(Map::new()),
    }
}

/// The craving as the tables have it; `None` when they do not.
async fn current(app: &App, user: &UserId, id: EventId) -> Result<Option<Current>, ApiError> {
    let parameters = [("event_id", ScalarValue::Utf8(Some(id.to_string())))];
    let found = rows(app, user.clone(), Named::CravingRevision, &parameters).await?;
    let Some(row) = found.into_iter().next() else { return Ok(None) };
    let read = || {
        let at = row["event_time"].as_str()?;
        let zoned = DateTime::parse_from_rfc3339(at).map(|at| at.to_utc());
        let at = zoned.ok().or_else(|| at.parse::<NaiveDateTime>().ok().map(|at| at.and_utc()))?;
        // Once more through the type, so that equal payloads are equal.
        let payload = Payload::parse(Kind::Craving, row["payload"].as_str()?).ok()?;
        let revision = u32::try_from(row["revision"].as_u64()?).ok()?;
        let tz_offset_min = row["tz_offset_min"].as_i64().and_then(|minutes| i16::try_from(minutes).ok());
        Some(Current { revision, event_time: at, tz_offset_min, payload: object(&payload).ok()? })
    };
    let current = read();
    if current.is_none() {
        tracing::error!("a craving of the tables cannot be read");
    }
    Ok(current)
}

/// Sends an event through the intake, and waits a little until `admit` has decided; says how far it is.
async fn send(app: &App, user: &UserId, event: &Value) -> Result<&'static str, ApiError> {
    let now = app.clock.now();
    app.rate.take(user, 1, &app.limits, now).map_err(|wait| {
        ApiError::overloaded("more events than this user may send; wait and send again", wait)
    })?;
    let event = Event::parse(event.to_string().as_bytes(), Some(user), now);
    let event = event.map_err(|refusal| ApiError::refused(&refusal))?;
    let key = IdKey::new(user, event.event_id);
    let known = app.log.lookup(&[key])?.into_iter().next().flatten();
    if known.is_some_and(|entry| entry.state == IdState::Admitted) {
        return decided(app, user, &event, known).await;
    }
    if let Submitted::Refused(refusal) = submit(app.log.as_ref(), &event).await? {
        return Err(ApiError::refused(&refusal));
    }
    let admitted = async {
        loop {
            let entry = app.log.lookup(&[key])?.into_iter().next().flatten();
            if entry.is_some() {
                return decided(app, user, &event, entry).await;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    // Durable all the same: it is admitted when `flow` runs.
    tokio::time::timeout(ADMITTED_MAX, admitted).await.unwrap_or(Ok("waiting"))
}

/// Whether what was admitted under the event's id says the same: else another change of that revision was first.
async fn decided(
    app: &App,
    user: &UserId,
    event: &Event,
    entry: Option<IdEntry>,
) -> Result<&'static str, ApiError> {
    let Some(entry) = entry else { return Ok("waiting") };
    let first = admitted(app, user, entry).await?;
    if entry.body == event.body_hash() || first.is_some_and(|first| first.payload == event.payload.to_json())
    {
        return Ok("admitted");
    }
    Err(ApiError::conflict("revision", "another change of this revision was first; read it again"))
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn parse(id: &str) -> Result<EventId, ApiError> {
    EventId::parse(id).map_err(|refusal| ApiError::invalid("id", refusal.reason))
}

fn not_yet() -> ApiError {
    ApiError::unavailable("this craving is not in the tables yet; send this again", 1)
}

fn unknown() -> ApiError {
    ApiError::not_found("no craving of yours has this id")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current() -> Current {
        let payload = json!({ "craving": "sugar", "intensity": 7, "note": "so tired" });
        let Value::Object(payload) = payload else { unreachable!() };
        Current { revision: 2, event_time: DateTime::UNIX_EPOCH, tz_offset_min: Some(60), payload }
    }

    #[test]
    fn a_change_is_merged_and_checked() {
        let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(1);
        // The change; what the payload is then, or the field that is refused.
        let table: [(Value, Result<Value, &str>); 9] = [
            (
                json!({ "intensity": 3 }),
                Ok(json!({ "craving": "sugar", "intensity": 3, "note": "so tired" })),
            ),
            (json!({ "note": null, "revision": 2 }), Ok(json!({ "craving": "sugar", "intensity": 7 }))),
            (
                json!({ "craving": " Wine " }),
                Ok(json!({ "craving": "wine", "intensity": 7, "note": "so tired" })),
            ),
            (json!({ "intensity": 11 }), Err("intensity")),
            (json!({ "craving": null }), Err("craving")),
            (json!({ "user_id": "bob" }), Err("user_id")),
            (json!({ "event_time": "yesterday" }), Err("event_time")),
            (json!({ "event_time": "2030-01-01T00:00:00Z" }), Err("event_time")),
            (json!({ "tz_offset_min": "two" }), Err("tz_offset_min")),
        ];
        for (change, expected) in table {
            let Value::Object(map) = &change else { unreachable!() };
            let merged = merged(&current(), map, now).map(|wanted| Value::Object(wanted.payload));
            match (merged, expected) {
                (Ok(payload), Ok(expected)) => assert_eq!(payload, expected, "{change}"),
                (Err(error), Err(field)) => assert_eq!(error.field(), Some(field), "{change}: {error:?}"),
                (merged, expected) => panic!("{change}: {merged:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_revision_is_said_in_one_way() {
        let header = |text: &str| HeaderMap::from_iter([(IF_MATCH, text.parse().unwrap())]);
        let body = |value: Value| Map::from_iter([("revision".to_owned(), value)]);
        let none = (HeaderMap::new(), Map::new());
        assert_eq!(expected(&none.0, &none.1).unwrap(), None);
        assert_eq!(expected(&header("\"3\""), &none.1).unwrap(), Some(3));
        assert_eq!(expected(&header("*"), &none.1).unwrap(), None);
        assert_eq!(expected(&header("3"), &body(json!(3))).unwrap(), Some(3));
        assert!(expected(&header("3"), &body(json!(4))).is_err());
        assert!(expected(&header("W/x"), &none.1).is_err());
        assert!(expected(&none.0, &body(json!(-1))).is_err());
    }
}
