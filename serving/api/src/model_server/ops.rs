//! `/health`, for whoever starts the process; `/metrics`, for the operator.

use std::net::SocketAddr;

use axum::{
    Json,
    extract::{ConnectInfo, State},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

use super::{ModelServer, keys::Holder};
use crate::openai::OpenAiError;

/// Headers by which a proxy says that the caller is another than its own machine.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

pub(super) async fn health(State(server): State<ModelServer>) -> (StatusCode, Json<Value>) {
    let (status, word) = match server.is_stopping() {
        false => (StatusCode::OK, "ok"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    (status, Json(json!({ "status": word })))
}

/// Open to this machine, else to the operator's key: it tells how busy the others are.
pub(super) async fn metrics(
    State(server): State<ModelServer>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    holder: Result<Holder, OpenAiError>,
) -> Result<String, OpenAiError> {
    let here = peer.ip().is_loopback() && !FORWARDED.iter().any(|name| headers.contains_key(*name));
    if here || holder?.is_operator() { Ok(server.metrics.render()) } else { Err(OpenAiError::unauthorized()) }
}
