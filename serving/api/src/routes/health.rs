//! `/health/live`, `/health/ready`, `/metrics`: nothing personal, so no token.

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};

use crate::App;

pub(super) async fn live() -> &'static str {
    "live\n"
}

pub(super) async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let health = app.health.borrow();
    let waiting = health.waiting();
    let status = if waiting.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": waiting.is_empty(), "waiting": waiting, "warnings": health.warnings() })))
}

pub(super) async fn metrics(State(app): State<App>) -> String {
    app.metrics.render()
}
