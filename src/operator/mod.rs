//! What a command asks of a home, whether or not a server runs on it.
//!
//! A home belongs to one process. Where a server has it, the command speaks with that over the socket `crave.sock` in
//! the home, which only the home's owner can open; else the command runs the parts itself for as long as it takes.

mod client;
mod serve;

use crave_connect::DeadLetter;
use crave_lake::{Answer, Scope};
use crave_schemas::Event;
use crave_tables::{Repaired, Verdict};
use serde::{Deserialize, Serialize};

use self::client::Client;
pub(crate) use self::serve::listen;
use crate::{
    config::Config,
    home::Home,
    node::{Dead, Fate, Node, Part, Planned, Status},
};

/// A query as it travels.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    sql: String,
    /// Whose rows it sees; everybody's when absent.
    user: Option<String>,
}

/// Whether rows beyond the bound were cut from an answer.
const CUT: &str = "x-crave-truncated";

/// A home's platform, here or in the server that runs on it.
pub(crate) enum Operator {
    /// Started for the command.
    Here(Node),
    /// A server's.
    There(Client),
}

impl Operator {
    /// The server of `home`, where one runs.
    pub(crate) async fn of_server(home: &Home) -> anyhow::Result<Option<Self>> {
        Ok(Client::connect(home).await?.map(Self::There))
    }

    /// Finds the server of `home`, or starts its parts here.
    pub(crate) async fn open(home: &Home, config: &Config) -> anyhow::Result<Self> {
        if let Some(server) = Self::of_server(home).await? {
            return Ok(server);
        }
        Ok(Self::Here(Node::start(home, &config.one_shot(), &Part::ALL).await?))
    }

    /// Sends events through the log; returns once they are admitted, with what became of each.
    pub(crate) async fn feed(&self, events: Vec<Event>) -> anyhow::Result<Vec<Fate>> {
        match self {
            Self::Here(node) => node.feed(events).await,
            Self::There(client) => client.feed(&events).await,
        }
    }

    /// See [`crate::node::Core::drain`].
    pub(crate) async fn drain(&self) -> anyhow::Result<Repaired> {
        match self {
            Self::Here(node) => node.drain().await,
            Self::There(client) => client.post("drain").await,
        }
    }

    /// See [`crate::node::Core::verify`].
    pub(crate) async fn verify(&self) -> anyhow::Result<Vec<Verdict>> {
        match self {
            Self::Here(node) => node.verify(None).await,
            Self::There(client) => client.post("verify").await,
        }
    }

    /// See [`crate::node::Core::plan`].
    pub(crate) async fn plan(&self) -> anyhow::Result<Vec<Planned>> {
        match self {
            Self::Here(node) => node.plan().await,
            Self::There(client) => client.get("plan").await,
        }
    }

    /// See [`crate::node::Core::deploy`].
    pub(crate) async fn deploy(&self) -> anyhow::Result<Vec<Planned>> {
        match self {
            Self::Here(node) => node.deploy().await,
            Self::There(client) => client.post("deploy").await,
        }
    }

    /// See [`crate::node::Core::status`].
    pub(crate) async fn status(&self) -> anyhow::Result<Status> {
        match self {
            Self::Here(node) => node.status().await,
            Self::There(client) => client.get("status").await,
        }
    }

    /// Answers a query, also of what is in the memory of the jobs.
    pub(crate) async fn query(&self, scope: &Scope, sql: &str) -> anyhow::Result<Answer> {
        match self {
            Self::Here(node) => Ok(node.lake.query(scope, sql, &[]).await?),
            Self::There(client) => client.query(scope, sql).await,
        }
    }

    /// See [`crate::node::Core::dead`].
    pub(crate) async fn dead(&self, limit: usize) -> anyhow::Result<Vec<Dead>> {
        match self {
            Self::Here(node) => node.dead(limit).await,
            Self::There(client) => client.get(&format!("dead?limit={limit}")).await,
        }
    }

    /// See [`crate::node::Core::dead_letter`].
    pub(crate) async fn dead_letter(&self, name: &str) -> anyhow::Result<DeadLetter> {
        match self {
            Self::Here(node) => node.dead_letter(name).await,
            Self::There(client) => client.get(&format!("dead/{name}")).await,
        }
    }

    /// See [`crate::node::Core::retry`].
    pub(crate) async fn retry(&self, name: &str) -> anyhow::Result<()> {
        match self {
            Self::Here(node) => node.retry(name).await,
            Self::There(client) => client.post(&format!("dead/{name}/retry")).await,
        }
    }

    /// Stops what was started for the command.
    pub(crate) async fn close(self) {
        if let Self::Here(node) = self {
            node.stop().await;
        }
    }
}
