//! `POST /v1/events`: one event, an array or NDJSON; a result per event, and durable before it is answered.

use std::collections::HashMap;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header::CONTENT_TYPE},
};
use chrono::{DateTime, Utc};
use crave_connect::log::{IdEntry, IdKey, IdState, Record, Topic, partition_of};
use crave_schemas::{BodyHash, Code, Event, Refusal, UserId};
use serde::Serialize;

use crate::{App, accounts::Caller, body::split, error::ApiError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Accepted,
    Duplicate,
    Refused,
}

#[derive(Debug, Serialize)]
struct EventResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    status: Status,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    refusal: Option<Refusal>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    accepted: usize,
    duplicate: usize,
    refused: usize,
    results: Vec<EventResult>,
}

impl Report {
    fn add(&mut self, event_id: Option<String>, status: Status, refusal: Option<Refusal>) {
        match status {
            Status::Accepted => self.accepted += 1,
            Status::Duplicate => self.duplicate += 1,
            Status::Refused => self.refused += 1,
        }
        self.results.push(EventResult { event_id, status, refusal });
    }
}

pub(super) async fn post(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Report>, ApiError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let ndjson = kind.contains("ndjson") || kind.contains("jsonl") || kind.contains("json-seq");
    let (log, limits, now) = (app.log.clone(), app.limits, app.clock.now());
    let (rate, user) = (app.rate.clone(), caller.user_id);
    // Parsing thousands of events is work, not waiting: keep it off the threads that serve.
    let decided = tokio::task::spawn_blocking(move || {
        let texts = split(&body, ndjson, limits.batch_events_max)?;
        rate.take(&user, texts.len(), &limits, now)
            .map_err(|wait| ApiError::overloaded("more events than this user may send; wait and send again", wait))?;
        let parsed: Vec<_> = texts.iter().map(|text| parse(text, &user, now)).collect();
        let keys: Vec<IdKey> = parsed.iter().filter_map(|p| p.as_ref().ok().map(|p| p.key)).collect();
        let known = log.lookup(&keys)?;
        let known = keys.into_iter().zip(known).filter_map(|(key, entry)| entry.map(|e| (key, e))).collect();
        let partition = partition_of(user.as_str(), log.partitions());
        Ok::<_, ApiError>(sort(parsed, known, &user, partition))
    });
    let (records, report) = decided.await.map_err(|e| ApiError::internal(&e))??;
    if !records.is_empty() {
        app.log.append(Topic::Inbox, records).await?;
    }
    for (outcome, n) in [("accepted", report.accepted), ("duplicate", report.duplicate), ("refused", report.refused)] {
        metrics::counter!("crave_ingest_events_total", "outcome" => outcome).increment(n as u64);
    }
    Ok(Json(report))
}

struct Parsed {
    key: IdKey,
    id: String,
    body: BodyHash,
    json: String,
}

fn parse(text: &str, user: &UserId, now: DateTime<Utc>) -> Result<Parsed, Refusal> {
    let event = Event::parse(text.as_bytes(), Some(user), now)?;
    let key = IdKey::new(user, event.event_id);
    let json = event.to_json();
    Ok(Parsed { key, id: event.event_id.to_string(), body: event.body_hash(), json })
}

/// What is new, with a result for each event in the order sent.
fn sort(
    parsed: Vec<Result<Parsed, Refusal>>,
    known: HashMap<IdKey, IdEntry>,
    user: &UserId,
    partition: u32,
) -> (Vec<(u32, Record)>, Report) {
    let alive = known.into_iter().filter(|(_, entry)| entry.state != IdState::Dead);
    let mut seen: HashMap<IdKey, (BodyHash, IdState)> = alive.map(|(k, e)| (k, (e.body, e.state))).collect();
    let (mut records, mut report) = (Vec::new(), Report::default());
    for event in parsed {
        let Parsed { key, id, body, json } = match event {
            Ok(event) => event,
            Err(refusal) => {
                report.add(None, Status::Refused, Some(refusal));
                continue;
            }
        };
        match seen.get(&key) {
            Some((_, IdState::Erased)) => {
                let reason = "belongs to erased data; it is not taken again";
                report.add(Some(id), Status::Refused, Some(Refusal::new(Code::Erased, "event_id", reason)));
            }
            Some((before, _)) if *before == body => report.add(Some(id), Status::Duplicate, None),
            Some(_) => {
                let reason = "came before with another body; send a `correct` event to change it";
                report.add(Some(id), Status::Refused, Some(Refusal::new(Code::Conflict, "event_id", reason)));
            }
            None => {
                seen.insert(key, (body, IdState::Admitted));
                records.push((partition, Record { key: user.to_string(), value: json.into_bytes() }));
                report.add(Some(id), Status::Accepted, None);
            }
        }
    }
    (records, report)
}
