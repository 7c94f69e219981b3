//! The side of the command: HTTP over the home's socket.

use std::io::Cursor;

use arrow::ipc::reader::StreamReader;
use crave_lake::{Answer, Scope};
use crave_schemas::Event;
use serde::{Serialize, de::DeserializeOwned};

use super::{CUT, Question};
use crate::{home::Home, node::Fate, socket};

/// A server's operator socket.
pub(crate) struct Client(socket::Client);

impl Client {
    /// `None` where no server listens.
    pub(super) async fn connect(home: &Home) -> anyhow::Result<Option<Self>> {
        Ok(socket::Client::connect(&home.socket(), "this home").await?.map(Self))
    }

    pub(super) async fn feed(&self, events: &[Event]) -> anyhow::Result<Vec<Fate>> {
        let mut body = String::with_capacity(events.len() * 400);
        for event in events {
            body.push_str(&event.to_json());
            body.push('\n');
        }
        self.0.answer(self.0.post("feed").body(body)).await
    }

    /// Rows come as an Arrow IPC stream.
    pub(super) async fn query(&self, scope: &Scope, sql: &str) -> anyhow::Result<Answer> {
        let user = match scope {
            Scope::User(user) => Some(user.as_str().to_owned()),
            Scope::Operator => None,
        };
        let question = Question { sql: sql.to_owned(), user };
        let response = self.0.sent(self.0.post("sql").json(&question)).await?;
        let cut = response.headers().get(CUT).is_some_and(|cut| cut == "true");
        let reader = StreamReader::try_new(Cursor::new(response.bytes().await?), None)?;
        Ok(Answer { schema: reader.schema(), batches: reader.collect::<Result<_, _>>()?, cut })
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.0.answer(self.0.post(path)).await
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.0.answer(self.0.post(path).json(body)).await
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.0.answer(self.0.get(path)).await
    }
}
