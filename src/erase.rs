//! Erasure of a person (PR-1): one job over every store of a home, done at rest.
//!
//! A store that is open keeps what was overwritten: in journals, old segments, old versions, memory. So an erasure is asked
//! for while the server runs (tokens end at once) and done while nobody has the home: the server stops its parts, becomes
//! itself again ([`again`]), and runs what waits before it opens anything. Each step finds nothing left to do when it was
//! done before, so a job that was killed is simply begun again. First all that was acknowledged is brought to the tables
//! ([`settle`]), so that nothing of the person is on its way when the stores are gone through.

mod scan;

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::Context as _;
use chrono::TimeDelta;
use crave_api::{Accounts, Erasures};
use crave_connect::log::{LocalLog, LocalOptions};
use crave_flow::{CheckpointStore, failpoint};
use crave_insight::{
    Citations, Conversations,
    documents::{Documents, program::PdfProgram},
};
use crave_schemas::{Clock, SystemClock, UserId};
use crave_tables::Dirty;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    config::{Config, LogKind},
    home::Home,
    node::{Node, Part, job_programs, open_memories},
};

/// The variable that tells a server where it listened before it began again.
pub(crate) const AGAIN: &str = "CRAVE_LISTEN_AGAIN";
/// A server stops for erasures at most once in this time; what is asked for meanwhile waits and is done together.
const EVERY: TimeDelta = TimeDelta::hours(1);

/// What an erasure did: names stores and counts, nobody and no text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    /// Where it looked.
    pub(crate) stores: Vec<Looked>,
    /// All files of the home, searched once more for the person's id as it is written.
    pub(crate) searched: scan::Searched,
    /// Where it did not look.
    pub(crate) not_covered: Vec<String>,
}

/// A store that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Looked {
    /// Which.
    pub(crate) store: String,
    /// What of the person was removed there: rows, records, files; `None` where it is not counted.
    pub(crate) removed: Option<u64>,
}

impl Receipt {
    /// Notes a store, and lets tests die here.
    fn add(&mut self, store: &str, removed: impl Into<Option<u64>>) -> anyhow::Result<()> {
        self.stores.push(Looked { store: store.to_owned(), removed: removed.into() });
        Ok(failpoint("erasing")?)
    }
}

const NOT_COVERED: [&str; 3] = [
    "backups made with `crave backup`: delete them, or erase again after a restore",
    "what was exported, or copied out of the home by other programs",
    "models and adapters that were trained before",
];

/// The requests of this home; `None` where a process of these parts cannot carry them out.
pub(crate) async fn open(home: &Home, config: &Config, parts: &[Part]) -> anyhow::Result<Option<Erasures>> {
    let all = Part::ALL.iter().all(|part| parts.contains(part));
    match all && possible(home, config).is_ok() {
        true => Ok(Some(Erasures::open(&home.erasures()).await?)),
        false => Ok(None),
    }
}

/// Whether all stores of a home are in it.
pub(crate) fn possible(home: &Home, config: &Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.log.kind == LogKind::Local,
        "the event log is in Kafka, which cannot drop one person's records; let its retention end them"
    );
    let within = [home.lake(), home.accounts()].iter().all(|path| path.starts_with(home.path()));
    anyhow::ensure!(
        within,
        "tables or accounts are shared with other processes (section [shared]); stop those first"
    );
    Ok(())
}

/// Waits until the server must stop for an erasure; `failed`: it tried one when it began.
pub(crate) async fn due(erasures: Option<&Erasures>, clock: &dyn Clock, failed: bool) {
    let Some(erasures) = erasures else { return std::future::pending().await };
    let hour = EVERY.to_std().unwrap_or(Duration::from_secs(3_600));
    if failed {
        tokio::time::sleep(hour).await;
    }
    loop {
        let waiting = erasures.pending().await.map(|pending| !pending.is_empty());
        if !waiting.unwrap_or(false) {
            // Looked at by itself, too: a command may have asked without telling.
            let _ = tokio::time::timeout(hour, erasures.asked()).await;
            continue;
        }
        let last = erasures.last_done().await.ok().flatten();
        match last.map(|last| last + EVERY - clock.now()).and_then(|left| left.to_std().ok()) {
            Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
            _ => return,
        }
    }
}

/// Becomes this program again, with the same arguments, listening where it did. Returns only when that fails.
pub(crate) fn again(listened: SocketAddr) -> anyhow::Error {
    use std::os::unix::process::CommandExt as _;
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.into(),
    };
    tracing::info!("begins again, to erase what was asked for");
    let mut command = std::process::Command::new(program);
    command.args(std::env::args_os().skip(1)).env(AGAIN, listened.to_string());
    anyhow::Error::new(command.exec()).context("beginning again; start the server: it erases first")
}

/// Does every erasure that waits. Nobody may have the home.
pub(crate) async fn run_pending(home: &Home, config: &Config) -> anyhow::Result<()> {
    if !home.erasures().exists() {
        return Ok(());
    }
    let erasures = Erasures::open(&home.erasures()).await?;
    let pending = erasures.pending().await?;
    if pending.is_empty() {
        return Ok(());
    }
    possible(home, config)?;
    settle(home, config).await.context("bringing what was acknowledged to the tables")?;
    let _locks = (home.lock()?, home.lock_lake()?);
    for (id, user) in pending {
        let mut receipt = erase(home, config, &user).await?;
        // Looked for before it is noted that it is done, for the request itself names the person.
        receipt.searched =
            scan::search(home.path(), user.as_str(), &home.erasures()).context("searching the home")?;
        erasures.done(id, &json!(receipt), SystemClock.now()).await?;
        tracing::info!(%id, "erased");
    }
    Ok(())
}

/// Brings everything that is acknowledged to the tables and stops all parts at a committed checkpoint.
async fn settle(home: &Home, config: &Config) -> anyhow::Result<()> {
    let node = Node::start(home, &config.one_shot(), &Part::ALL).await?;
    let (drained, health) = (node.drain().await, node.health.subscribe());
    node.stop().await;
    drained?;
    match health.borrow().of("flow") {
        None => Ok(()),
        Some(reason) => anyhow::bail!("{reason}"),
    }
}

/// Goes through the stores. What others are made from comes first.
async fn erase(home: &Home, config: &Config, user: &UserId) -> anyhow::Result<Receipt> {
    let mut receipt = Receipt::default();
    let accounts = Accounts::open(&home.accounts()).await?;
    receipt.add("accounts: tokens, profile, consent, corrections", accounts.erase(user).await?)?;

    let (folder, theirs) = (home.log(), user.clone());
    let options =
        LocalOptions { partitions: config.log.partitions, disk_bytes_max: config.log.disk_max.as_u64() };
    let log = tokio::task::spawn_blocking(move || LocalLog::erase(&folder, options, &theirs)).await?;
    let log = log.context("erasing in the event log")?;
    receipt.add("event log: inbox, events, dead letters, memories", log.records)?;
    receipt.add("event log: ids, kept as erased without their content", log.ids)?;

    let programs = job_programs(home, config).await?;
    let state = CheckpointStore::local(home.checkpoints())?.erase(&programs, "user_id", user.as_str()).await;
    let state = state.context("erasing in the checkpoints")?;
    receipt.add("checkpoints: state of open windows, late keys, staged rows", state.rows)?;

    let tables = crave_tables::erase(&home.lake(), user).await.context("erasing in the tables")?;
    for (name, table) in tables {
        receipt.add(&format!("table {name}: rows of the person"), table.rows)?;
        receipt.add(&format!("table {name}: files of its past"), table.files)?;
    }
    let (folder, theirs) = (home.dirty(), user.to_string());
    let dirty = tokio::task::spawn_blocking(move || Dirty::erase(&folder, &theirs)).await??;
    receipt.add("windows to be recomputed", dirty)?;

    let pdf = PdfProgram::new(std::env::current_exe()?, vec!["extract-pdf".to_owned()]);
    let documents = Documents::open(&home.documents()?, pdf).await?;
    receipt.add(
        "documents: originals, texts, entries",
        documents.erase(user).await.context("erasing the documents")?,
    )?;
    Conversations::open(&home.conversations()).await?.erase(user).await?;
    receipt.add("conversations, facts, summaries, corrections of memories", None::<u64>)?;
    let citations = Citations::open(&home.insights()).await?.erase(user).await?;
    receipt.add("citations; answers with what was thought of them", citations)?;

    if home.memories().exists() {
        let recall = open_memories(home, &config.recall, &accounts).await?;
        let memories = u64::try_from(recall.count(user).await?).unwrap_or(u64::MAX);
        recall.erase_user(user).await.context("erasing in the memories")?;
        receipt.add("index of memories, rewritten without the person", memories)?;
    }
    receipt.not_covered.extend(NOT_COVERED.map(str::to_owned));
    let apart = |stage| format!("state of a job that does not tell people apart: {stage}");
    receipt.not_covered.extend(state.not_apart.into_iter().map(apart));
    truth(home.path(), user)?;
    Ok(receipt)
}

/// What a simulation wrote of people it made up.
fn truth(home: &Path, user: &UserId) -> anyhow::Result<()> {
    let path = home.join("simulate-truth.json");
    match std::fs::read_to_string(&path) {
        Ok(text) if text.contains(user.as_str()) => Ok(std::fs::remove_file(&path)?),
        _ => Ok(()),
    }
}
