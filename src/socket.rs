//! HTTP over a Unix socket that only its owner can open: how a command speaks with the server that has a folder.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::Context as _;
use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};

/// The host is not looked up: the socket is the server.
const HOST: &str = "http://crave/";

/// Whether a server answers. One that was killed leaves its socket behind: nobody answers on it.
pub(crate) async fn is_served(socket: &Path) -> bool {
    UnixStream::connect(socket).await.is_ok()
}

/// Listens in the place of a dead server's socket.
pub(crate) fn listen(socket: &Path) -> anyhow::Result<UnixListener> {
    let _ = fs::remove_file(socket);
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("{}: cannot listen (a path of at most 107 bytes?)", socket.display()))?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// What a command is told when it fails: the causes, as it would see them itself.
pub(crate) struct Failed(anyhow::Error);

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{:#}", self.0)).into_response()
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// The side of the command.
pub(crate) struct Client {
    http: reqwest::Client,
    /// What the server has, in messages: `this home`.
    of: &'static str,
}

impl Client {
    /// `None` where no server listens.
    pub(crate) async fn connect(socket: &Path, of: &'static str) -> anyhow::Result<Option<Self>> {
        if !is_served(socket).await {
            return Ok(None);
        }
        let http = reqwest::Client::builder().unix_socket(socket).build();
        let http = http.with_context(|| format!("the client of the server of {of}"))?;
        Ok(Some(Self { http, of }))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{HOST}{path}"))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{HOST}{path}"))
    }

    /// Sends it; a refusal is an error with the server's words.
    pub(crate) async fn sent(&self, request: RequestBuilder) -> anyhow::Result<reqwest::Response> {
        let sent = request.send().await;
        let response = sent.with_context(|| format!("the server of {} does not answer", self.of))?;
        if response.status() != StatusCode::OK {
            anyhow::bail!("{}", response.text().await?);
        }
        Ok(response)
    }

    /// Sends it and reads the answer.
    pub(crate) async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let read = self.sent(request).await?.json().await;
        read.with_context(|| format!("the server of {} is of another version; restart it", self.of))
    }
}
