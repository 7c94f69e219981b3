//! The side of the command: HTTP over the home's socket.

use anyhow::Context as _;
use crave_schemas::Event;
use reqwest::{RequestBuilder, StatusCode};
use serde::{Serialize, de::DeserializeOwned};

use crate::{home::Home, node::Fate};

/// A server's operator socket.
pub(crate) struct Client(reqwest::Client);

impl Client {
    /// `None` where no server listens.
    pub(super) async fn connect(home: &Home) -> anyhow::Result<Option<Self>> {
        let socket = home.socket();
        // A server that was killed leaves its socket behind: nobody answers on it.
        if tokio::net::UnixStream::connect(&socket).await.is_err() {
            return Ok(None);
        }
        let http = reqwest::Client::builder().unix_socket(socket).build().context("the operator's client")?;
        Ok(Some(Self(http)))
    }

    pub(super) async fn feed(&self, events: &[Event]) -> anyhow::Result<Vec<Fate>> {
        let mut body = String::with_capacity(events.len() * 400);
        for event in events {
            body.push_str(&event.to_json());
            body.push('\n');
        }
        answer(self.0.post(url("feed")).body(body)).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        answer(self.0.post(url(path))).await
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        answer(self.0.post(url(path)).json(body)).await
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        answer(self.0.get(url(path))).await
    }
}

/// The host is not looked up: the socket is the server.
fn url(path: &str) -> String {
    format!("http://crave/{path}")
}

async fn answer<T: DeserializeOwned>(request: RequestBuilder) -> anyhow::Result<T> {
    let response = request.send().await.context("the server of this home does not answer")?;
    if response.status() != StatusCode::OK {
        anyhow::bail!("{}", response.text().await?);
    }
    response.json().await.context("the server of this home is of another version; restart it")
}
