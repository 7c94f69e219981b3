//! `POST /v1/events`: one event, an array or NDJSON; a result per event, and durable before it is answered.
//!
//! `accepted` means durable. A copy sent again before `admit` has come to the first one is told `accepted` too;
//! it is admitted once all the same (IN-1).

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header::CONTENT_TYPE},
};
use crave_connect::{
    Intake, Outcome, Parsed,
    log::{IdKey, Record, Topic, partition_of},
};
use crave_schemas::Refusal;
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
        rate.take(&user, texts.len(), &limits, now).map_err(|wait| {
            ApiError::overloaded("more events than this user may send; wait and send again", wait)
        })?;
        let parsed: Vec<_> =
            texts.iter().map(|text| Parsed::read(text.as_bytes(), Some(&user), now)).collect();
        let keys: Vec<IdKey> = parsed.iter().filter_map(|p| p.as_ref().ok().map(|p| p.key)).collect();
        let known = log.lookup(&keys)?;
        let intake = Intake::new(keys.into_iter().zip(known).filter_map(|(key, entry)| Some((key, entry?))));
        Ok::<_, ApiError>(judge(parsed, intake, partition_of(user.as_str(), log.partitions())))
    });
    let (records, report) = decided.await.map_err(|e| ApiError::internal(&e))??;
    if !records.is_empty() {
        app.log.append(Topic::Inbox, records).await?;
    }
    for (outcome, n) in
        [("accepted", report.accepted), ("duplicate", report.duplicate), ("refused", report.refused)]
    {
        metrics::counter!("crave_ingest_events_total", "outcome" => outcome).increment(n as u64);
    }
    Ok(Json(report))
}

/// What is new, with a result for each event in the order sent.
fn judge(
    parsed: Vec<Result<Parsed, Refusal>>,
    mut intake: Intake,
    partition: u32,
) -> (Vec<(u32, Record)>, Report) {
    let (mut records, mut report) = (Vec::new(), Report::default());
    for event in parsed {
        let (id, outcome) = match event {
            Ok(event) => (Some(event.event_id.clone()), intake.judge(event)),
            Err(refusal) => (None, Outcome::Refused(refusal)),
        };
        match outcome {
            Outcome::Accepted(record) => {
                records.push((partition, record));
                report.add(id, Status::Accepted, None);
            }
            Outcome::Duplicate => report.add(id, Status::Duplicate, None),
            Outcome::Refused(refusal) => report.add(id, Status::Refused, Some(refusal)),
        }
    }
    (records, report)
}
