//! Keeps `note_labels` in step with the memories: a row for each label of what a person wrote, with the version of the
//! model that gave it.
//!
//! The rows are a function of the memory in the index, which carries its labels. Three ways lead there:
//! - What comes from the log is appended by [`Labels::append`]; the table itself keeps how far each partition is, so that
//!   a kill neither loses a row nor writes one twice.
//! - What is corrected, deleted, erased or said in a conversation is told by the index ([`Recall::changes`]): the rows
//!   of that source are replaced by those of the memories that are there now. For a correction in the log that is done
//!   before it counts as followed.
//! - A sweep at the start, and now and then, compares all rows with the index: what was missed is made good, and what an
//!   older model labelled is labelled anew. Until that is done both versions stand, and `note_labels_current` takes
//!   the newest that has all of a person's memories.
//!
//! Reading memories and writing their rows is one step under a lock: a memory deleted meanwhile is told later, so its
//! rows never stay.

mod rows;
mod sweep;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Context as _;
use crave_connect::log::Offset;
use crave_insight::Memories;
use crave_recall::{Changed, LIMITS, Memory, MemoryId, Recall, SourceKind, labelled::Labeller};
use crave_schemas::{Clock, UserId, note_labels_schema};
use crave_tables::{Bounds, Table, Tables, maintain};
use datafusion::logical_expr::{Expr, col, lit};
use tokio::{
    sync::{
        Mutex,
        broadcast::error::{RecvError, TryRecvError},
        watch,
    },
    time::Instant,
};

/// The table.
pub(super) const TABLE: &str = "note_labels";
/// Sources whose rows are replaced in one commit.
const SOURCES_MAX: usize = 64;
/// How long changes are gathered for one commit, and how many.
const GATHER: Duration = Duration::from_millis(500);
const GATHERED_MAX: usize = 1024;
/// Between two sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3_600);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(10);
/// Chunks of a source that are looked for at once.
const CHUNKS: u32 = 64;

/// Opens the table where it is there, else makes it.
pub(super) async fn open(tables: &Tables) -> anyhow::Result<()> {
    tables.open_kept(TABLE, &note_labels_schema()).await.context("opening note_labels")?;
    Ok(())
}

/// What the rows of a memory are found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    user: UserId,
    kind: SourceKind,
    id: String,
}

impl Source {
    pub(super) fn of(memory: &Memory) -> Self {
        Self { user: memory.user_id.clone(), kind: memory.source_kind, id: memory.source_id.clone() }
    }

    fn rows(&self) -> Expr {
        let kind = col("source_kind").eq(lit(self.kind.as_str()));
        col("user_id").eq(lit(self.user.as_str())).and(kind).and(col("source_id").eq(lit(&self.id)))
    }
}

/// A memory of the log that was written to the index, and at which revision.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) user: UserId,
    pub(super) id: MemoryId,
    pub(super) revision: u32,
}

impl Written {
    /// `None` for what is not labelled.
    pub(super) fn of(memory: &Memory) -> Option<Self> {
        let (user, id, revision) = (memory.user_id.clone(), memory.id(), memory.revision);
        Labeller::reads(memory.source_kind).then_some(Self { user, id, revision })
    }
}

/// The writer of `note_labels`. Cloning it is cheap.
#[derive(Clone)]
pub(super) struct Labels {
    table: Arc<Table>,
    recall: Recall,
    clock: Arc<dyn Clock>,
    /// Held while memories are read and their rows written.
    step: Arc<Mutex<()>>,
}

impl Labels {
    pub(super) fn new(table: Arc<Table>, recall: Recall, clock: Arc<dyn Clock>) -> Self {
        Self { table, recall, clock, step: Arc::default() }
    }

    /// The first record of a partition of `crave.memories.v1` whose labels are not in the table.
    pub(super) async fn position(&self, partition: u32) -> anyhow::Result<Offset> {
        Ok(self.table.followed(&follower(partition)).await?.unwrap_or_default())
    }

    /// Adds the labels of what was written to the index, and that the partition is followed up to `next`. What was
    /// deleted since has none; what was revised since may have rows already, which are replaced.
    pub(super) async fn append(
        &self,
        partition: u32,
        next: Offset,
        written: &[Written],
    ) -> anyhow::Result<()> {
        let _step = self.step.lock().await;
        let (mut memories, mut revised) = (Vec::with_capacity(written.len()), BTreeSet::new());
        let mut sorted: Vec<&Written> = written.iter().collect();
        sorted.sort_by(|a, b| a.user.cmp(&b.user));
        for group in sorted.chunk_by(|a, b| a.user == b.user) {
            for some in group.chunks(LIMITS.page_memories_max) {
                let Some(first) = some.first() else { continue };
                let ids = some.iter().map(|one| one.id).collect();
                for memory in self.recall.get(&first.user, ids).await? {
                    let same = |one: &&Written| one.id == memory.id() && one.revision == memory.revision;
                    if some.iter().any(same) {
                        memories.push(memory);
                    } else {
                        revised.insert(Source::of(&memory));
                    }
                }
            }
        }
        self.rewrite(&revised.into_iter().collect::<Vec<_>>()).await?;
        let rows = rows::rows(&memories, self.clock.now())?;
        let _ = self.table.append_once(&follower(partition), next, &[rows]).await?;
        Ok(())
    }

    /// Follows changes and sweeps, until `stop`.
    pub(super) async fn run(self, memories: Arc<Memories>, mut stop: watch::Receiver<bool>) {
        let mut changes = self.recall.changes();
        let mut sweep_at = Instant::now();
        while !*stop.borrow() {
            if Instant::now() >= sweep_at {
                let swept = self.sweep(&memories, &stop).await;
                let kept = maintain(&self.table, 0, Bounds::default()).await.context("compacting");
                let failed = swept.and(kept).inspect_err(|error| {
                    tracing::warn!(cause = ?error, "the labels of notes were not all compared; it is tried again");
                });
                sweep_at = Instant::now() + if failed.is_err() { RETRY } else { SWEEP_INTERVAL };
                continue;
            }
            let first = tokio::select! {
                changed = changes.recv() => changed,
                () = tokio::time::sleep_until(sweep_at) => continue,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let (mut gathered, mut missed) = (Vec::new(), false);
            match first {
                Ok(changed) => gathered.push(changed),
                Err(RecvError::Lagged(_)) => missed = true,
                Err(RecvError::Closed) => return,
            }
            tokio::time::sleep(GATHER).await;
            while gathered.len() < GATHERED_MAX {
                match changes.try_recv() {
                    Ok(changed) => gathered.push(changed),
                    Err(TryRecvError::Lagged(_)) => missed = true,
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            if let Err(error) = self.follow(gathered).await {
                tracing::warn!(cause = ?error, "labels of notes were not changed; a sweep makes it good");
                missed = true;
            }
            if missed {
                sweep_at = Instant::now() + RETRY;
            }
        }
    }

    async fn follow(&self, changes: Vec<Changed>) -> anyhow::Result<()> {
        let mut sources = BTreeSet::new();
        for changed in changes {
            match changed {
                Changed::Source { user, kind, source_id } if Labeller::reads(kind) => {
                    sources.insert(Source { user, kind, id: source_id });
                }
                Changed::Source { .. } => {}
                Changed::Erased(user) => {
                    let _step = self.step.lock().await;
                    self.table.replace(col("user_id").eq(lit(user.as_str())), Vec::new()).await?;
                }
            }
        }
        self.renew(&sources.into_iter().collect::<Vec<_>>()).await
    }

    /// Replaces the rows of sources, of every version, by those of their memories as they are.
    pub(super) async fn renew(&self, sources: &[Source]) -> anyhow::Result<()> {
        for some in sources.chunks(SOURCES_MAX) {
            let _step = self.step.lock().await;
            self.rewrite(some).await?;
        }
        Ok(())
    }

    /// The same, while the step is held.
    async fn rewrite(&self, sources: &[Source]) -> anyhow::Result<()> {
        for some in sources.chunks(SOURCES_MAX) {
            let mut memories = Vec::new();
            for source in some {
                memories.extend(self.memories(source).await?);
            }
            self.replace(any(some), &memories).await?;
        }
        Ok(())
    }

    /// Replaces the rows that match by those of `memories`, in one commit.
    async fn replace(&self, which: Option<Expr>, memories: &[Memory]) -> anyhow::Result<()> {
        let Some(which) = which else { return Ok(()) };
        let rows = self.table.conform(&rows::rows(memories, self.clock.now())?)?;
        Ok(self.table.replace(which, vec![rows]).await?)
    }

    /// What is remembered of a source: all its chunks.
    async fn memories(&self, source: &Source) -> anyhow::Result<Vec<Memory>> {
        let of = Memory::new(source.user.clone(), source.kind, &source.id, self.clock.now(), "");
        let mut all = Vec::new();
        for from in (0..).step_by(CHUNKS as usize) {
            let ids = (from..from + CHUNKS).map(|chunk| Memory { chunk, ..of.clone() }.id()).collect();
            let found = self.recall.get(&source.user, ids).await?;
            let last = found.len() < CHUNKS as usize;
            all.extend(found);
            if last {
                break;
            }
        }
        Ok(all)
    }
}

/// Any row of these sources.
fn any(sources: &[Source]) -> Option<Expr> {
    sources.iter().map(Source::rows).reduce(Expr::or)
}

/// The name under which the table keeps how far a partition is.
pub(super) fn follower(partition: u32) -> String {
    format!("crave/note_labels/{partition}")
}
