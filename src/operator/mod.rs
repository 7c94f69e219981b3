//! What a command asks of a home, whether or not a server runs on it.
//!
//! A home belongs to one process. Where a server has it, the command speaks with that over the socket `crave.sock` in
//! the home, which only the home's owner can open; else the command runs the parts itself for as long as it takes.

mod client;
mod search;
mod serve;

use std::sync::Arc;

use anyhow::Context as _;
use crave_api::Accounts;
use crave_connect::DeadLetter;
use crave_insight::{Citations, Conversations, Item, Memories};
use crave_lake::{Answer, Scope};
use crave_recall::{Hit, MemoryId};
use crave_schemas::{Event, UserId};
use crave_tables::{Repaired, Verdict};
use serde::{Deserialize, Serialize};

use self::client::Client;
pub(crate) use self::search::Sought;
pub(crate) use self::serve::listen;
use crate::{
    config::Config,
    home::Home,
    node::{Dead, Fate, Node, Part, Planned, Status, open_memories},
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
    /// Started for the command, with the memories where it needs them.
    Here(Node, Option<Arc<Memories>>),
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
        Ok(Self::Here(Node::start(home, &config.one_shot(), &Part::ALL).await?, None))
    }

    /// The same with the memories, which then hold all that came before.
    pub(crate) async fn with_memories(home: &Home, config: &Config) -> anyhow::Result<Self> {
        if let Some(server) = Self::of_server(home).await? {
            return Ok(server);
        }
        let mut node = Node::start(home, &config.one_shot(), &Part::ALL).await?;
        let accounts = Accounts::open(&home.accounts()).await?;
        let recall = open_memories(home, &config.recall, &accounts).await?;
        let citations = Citations::open(&home.insights()).await?;
        let conversations = Conversations::open(&home.conversations()).await?;
        let memories = Arc::new(Memories::new(Some(recall.clone()), conversations, citations));
        memories.restore().await?;
        node.remember(home, &recall, &memories)?;
        node.drain().await?;
        node.remembered(home).await?;
        Ok(Self::Here(node, Some(memories)))
    }

    /// Finds a person's memories that fit a question.
    pub(crate) async fn search(&self, sought: Sought) -> anyhow::Result<Vec<Hit>> {
        match self {
            Self::Here(node, memories) => search::search(open(memories)?, sought, node.clock.now()).await,
            Self::There(client) => client.send("search", &sought).await,
        }
    }

    /// All that is remembered of a person.
    pub(crate) async fn memories(&self, user: &UserId) -> anyhow::Result<Vec<Item>> {
        match self {
            Self::Here(_, memories) => Ok(open(memories)?.export(user).await?),
            Self::There(client) => client.get(&format!("memories/{user}")).await,
        }
    }

    /// One of them.
    pub(crate) async fn memory(&self, user: &UserId, id: MemoryId) -> anyhow::Result<Item> {
        match self {
            Self::Here(_, memories) => Ok(open(memories)?.get(user, id).await?),
            Self::There(client) => client.get(&format!("memories/{user}/{id}")).await,
        }
    }

    /// Corrects one.
    pub(crate) async fn correct(&self, user: &UserId, id: MemoryId, text: &str) -> anyhow::Result<Item> {
        match self {
            Self::Here(_, memories) => Ok(open(memories)?.correct(user, id, text).await?),
            Self::There(client) => client.send(&format!("memories/{user}/{id}/correct"), &text).await,
        }
    }

    /// Deletes one.
    pub(crate) async fn forget(&self, user: &UserId, id: MemoryId) -> anyhow::Result<()> {
        match self {
            Self::Here(_, memories) => Ok(open(memories)?.delete(user, id).await?),
            Self::There(client) => client.post(&format!("memories/{user}/{id}/delete")).await,
        }
    }

    /// Sends events through the log; returns once they are admitted, with what became of each.
    pub(crate) async fn feed(&self, events: Vec<Event>) -> anyhow::Result<Vec<Fate>> {
        match self {
            Self::Here(node, _) => node.feed(events).await,
            Self::There(client) => client.feed(&events).await,
        }
    }

    /// See [`crate::node::Core::drain`].
    pub(crate) async fn drain(&self) -> anyhow::Result<Repaired> {
        match self {
            Self::Here(node, _) => node.drain().await,
            Self::There(client) => client.post("drain").await,
        }
    }

    /// See [`crate::node::Core::verify`].
    pub(crate) async fn verify(&self) -> anyhow::Result<Vec<Verdict>> {
        match self {
            Self::Here(node, _) => node.verify(None).await,
            Self::There(client) => client.post("verify").await,
        }
    }

    /// See [`crate::node::Core::plan`].
    pub(crate) async fn plan(&self) -> anyhow::Result<Vec<Planned>> {
        match self {
            Self::Here(node, _) => node.plan().await,
            Self::There(client) => client.get("plan").await,
        }
    }

    /// See [`crate::node::Core::deploy`].
    pub(crate) async fn deploy(&self) -> anyhow::Result<Vec<Planned>> {
        match self {
            Self::Here(node, _) => node.deploy().await,
            Self::There(client) => client.post("deploy").await,
        }
    }

    /// See [`crate::node::Core::status`].
    pub(crate) async fn status(&self) -> anyhow::Result<Status> {
        match self {
            Self::Here(node, _) => node.status().await,
            Self::There(client) => client.get("status").await,
        }
    }

    /// Answers a query, also of what is in the memory of the jobs.
    pub(crate) async fn query(&self, scope: &Scope, sql: &str) -> anyhow::Result<Answer> {
        match self {
            Self::Here(node, _) => Ok(node.lake.query(scope, sql, &[]).await?),
            Self::There(client) => client.query(scope, sql).await,
        }
    }

    /// See [`crate::node::Core::dead`].
    pub(crate) async fn dead(&self, limit: usize) -> anyhow::Result<Vec<Dead>> {
        match self {
            Self::Here(node, _) => node.dead(limit).await,
            Self::There(client) => client.get(&format!("dead?limit={limit}")).await,
        }
    }

    /// See [`crate::node::Core::dead_letter`].
    pub(crate) async fn dead_letter(&self, name: &str) -> anyhow::Result<DeadLetter> {
        match self {
            Self::Here(node, _) => node.dead_letter(name).await,
            Self::There(client) => client.get(&format!("dead/{name}")).await,
        }
    }

    /// See [`crate::node::Core::retry`].
    pub(crate) async fn retry(&self, name: &str) -> anyhow::Result<()> {
        match self {
            Self::Here(node, _) => node.retry(name).await,
            Self::There(client) => client.post(&format!("dead/{name}/retry")).await,
        }
    }

    /// Tells the server that an erasure was asked for.
    pub(crate) async fn erase(&self) -> anyhow::Result<()> {
        match self {
            Self::Here(..) => Ok(()),
            Self::There(client) => client.post("erase").await,
        }
    }

    /// Stops what was started for the command.
    pub(crate) async fn close(self) {
        if let Self::Here(node, _) = self {
            node.stop().await;
        }
    }
}

/// The memories, where they were opened.
fn open(memories: &Option<Arc<Memories>>) -> anyhow::Result<&Memories> {
    memories.as_deref().context("the memories are not open here: run `crave up` with the part `serve`")
}
