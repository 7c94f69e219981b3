//! `crave flow top --page`: the jobs drawn in a browser on this machine.
//!
//! A page holds nothing personal, but is the operator's: it is served on loopback alone, under a secret that only who
//! started the command is told, and it asks the server over the home's socket as the terminal does.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};

use crate::{node::Status, operator::Operator};

/// Serves the page until the future is dropped.
pub(super) async fn serve(address: SocketAddr, server: Operator) -> anyhow::Result<()> {
    anyhow::ensure!(
        address.ip().is_loopback(),
        "--page {address}: the page is for this machine alone; use 127.0.0.1 or [::1], through a tunnel from elsewhere"
    );
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("{address}: cannot listen"))?;
    let secret = crave_api::new_secret()?;
    // Scripts wait for this line.
    println!("http://{}/{secret}/", listener.local_addr()?);
    let private = Router::new()
        .route(&format!("/{secret}/"), get(|| async { file("flow.html") }))
        .route(&format!("/{secret}/status"), get(status))
        .with_state(Arc::new(server));
    let public = Router::new().route("/icon.svg", get(|| async { file("icon.svg") })).route(
        "/assets/{name}",
        get(|Path(name): Path<String>| async move { file(&format!("assets/{name}")) }),
    );
    axum::serve(listener, private.merge(public)).await.context("serving the page")
}

async fn status(State(server): State<Arc<Operator>>) -> Result<Json<Status>, (StatusCode, String)> {
    server.status().await.map(Json).map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")))
}

fn file(path: &str) -> Response {
    let missing = "no such file; a binary built without `make dashboard` has no page\n";
    crave_api::page_file(path).unwrap_or_else(|| (StatusCode::NOT_FOUND, missing).into_response())
}
