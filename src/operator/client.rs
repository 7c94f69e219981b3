//! The side of the command: HTTP over the home's socket.

use std::io::Cursor;

use anyhow::Context as _;
use arrow::ipc::reader::StreamReader;
use crave_lake::{Answer, Scope};
use crave_schemas::Event;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};

use super::{CUT, Question};
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

    /// Rows come as an Arrow IPC stream.
    pub(super) async fn query(&self, scope: &Scope, sql: &str) -> anyhow::Result<Answer> {
        let user = match scope {
            Scope::User(user) => Some(user.as_str().to_owned()),
            Scope::Operator => None,
        };
        let question = Question { sql: sql.to_owned(), user };
        let response = sent(self.0.post(url("sql")).json(&question)).await?;
        let cut = response.headers().get(CUT).is_some_and(|cut| cut == "true");
        let reader = StreamReader::try_new(Cursor::new(response.bytes().await?), None)?;
        Ok(Answer { schema: reader.schema(), batches: reader.collect::<Result<_, _>>()?, cut })
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

async fn sent(request: RequestBuilder) -> anyhow::Result<Response> {
    let response = request.send().await.context("the server of this home does not answer")?;
    if response.status() != StatusCode::OK {
        anyhow::bail!("{}", response.text().await?);
    }
    Ok(response)
}

async fn answer<T: DeserializeOwned>(request: RequestBuilder) -> anyhow::Result<T> {
    sent(request).await?.json().await.context("the server of this home is of another version; restart it")
}
