//! Compares all rows of `note_labels` with the memories in the index.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::{
    array::{AsArray as _, RecordBatch},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use crave_insight::Memories;
use crave_recall::{LIMITS, Memory, MemoryId, SourceKind, labelled::IMPORTANCE_KIND};
use crave_schemas::UserId;
use datafusion::{
    execution::SendableRecordBatchStream,
    logical_expr::{col, lit},
    prelude::SessionContext,
};
use futures::StreamExt as _;
use tokio::sync::watch;

use super::{Labels, Source, rows};

/// The name under which the table keeps how often memories were labelled anew.
const FOLLOWER: &str = "crave/note_labels/anew";

/// A memory in the table, by the row that every labelled one has once a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labelled {
    source: Source,
    chunk: u32,
    revision: u32,
    version: String,
}

/// What is to be done for a group of rows. Pure.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// Their rows do not fit what is remembered.
    stale: BTreeSet<Source>,
    /// Memories that only an older model has labelled.
    old: Vec<Memory>,
}

impl Labels {
    /// Makes good what was missed, labels anew what another version labelled, and adds messages that have no row.
    pub(super) async fn sweep(&self, talks: &Memories, stop: &watch::Receiver<bool>) -> anyhow::Result<()> {
        let Some(version) = self.recall.labels_version() else { return Ok(()) };
        let (mut current, mut others) = (HashSet::new(), false);
        let (mut twice, mut messages) = (BTreeSet::new(), BTreeSet::new());
        let mut rows = self.labelled().await?;
        while let Some(batch) = rows.next().await {
            for one in read(&batch?)? {
                if one.source.kind == SourceKind::Chat {
                    messages.insert(one.source.clone());
                }
                if one.version != version {
                    others = true;
                } else if !current.insert(one.id()) {
                    // The log told it twice.
                    twice.insert(one.source);
                }
            }
        }
        self.renew(&twice.into_iter().collect::<Vec<_>>()).await?;
        let mut rows = self.labelled().await?;
        while let Some(batch) = rows.next().await {
            if *stop.borrow() {
                return Ok(());
            }
            let labelled = read(&batch?)?;
            let plan = plan(&labelled, &self.remembered(&labelled).await?, &version, &current);
            self.renew(&plan.stale.into_iter().collect::<Vec<_>>()).await?;
            for some in plan.old.chunks(LIMITS.upsert_memories_max) {
                self.label_anew(some, &version).await?;
            }
        }
        if others {
            // Every memory has rows of the newest version now.
            let _step = self.step.lock().await;
            self.table.replace(col("model_version").not_eq(lit(&version)), Vec::new()).await?;
        }
        self.add_messages(talks, &messages).await
    }

    /// The columns of [`Labelled`], a row a memory and version.
    async fn labelled(&self) -> anyhow::Result<SendableRecordBatchStream> {
        let session = SessionContext::new();
        self.table.register_store(&session).await?;
        let rows = session.read_table(self.table.provider().await?)?;
        let columns = ["user_id", "source_kind", "source_id", "chunk", "revision", "model_version"];
        let rows = rows.filter(col("kind").eq(lit(IMPORTANCE_KIND)))?.select_columns(&columns)?;
        Ok(rows.execute_stream().await?)
    }

    /// The memories of rows that are still there, by id.
    async fn remembered(&self, labelled: &[Labelled]) -> anyhow::Result<HashMap<MemoryId, Memory>> {
        let mut ids: BTreeMap<&UserId, BTreeSet<MemoryId>> = BTreeMap::new();
        for one in labelled {
            ids.entry(&one.source.user).or_default().insert(one.id());
        }
        let mut memories = HashMap::new();
        for (user, ids) in ids {
            let ids: Vec<MemoryId> = ids.into_iter().collect();
            for some in ids.chunks(LIMITS.page_memories_max) {
                let found = self.recall.get(user, some.to_vec()).await?;
                memories.extend(found.into_iter().map(|memory| (memory.id(), memory)));
            }
        }
        Ok(memories)
    }

    /// Labels memories anew, and adds the rows of the version to those of others. One that a kill cuts off has no rows of
    /// the version, or all.
    async fn label_anew(&self, memories: &[Memory], version: &str) -> anyhow::Result<()> {
        let is_old = |memory: &&Memory| memory.labelled().is_none_or(|of| of.model_version != version);
        self.recall.upsert(memories.iter().filter(is_old).cloned().collect()).await?;
        let _step = self.step.lock().await;
        let ids: BTreeSet<(UserId, MemoryId)> =
            memories.iter().map(|memory| (memory.user_id.clone(), memory.id())).collect();
        let mut now = Vec::with_capacity(ids.len());
        for (user, id) in ids {
            now.extend(self.recall.get(&user, vec![id]).await?);
        }
        let next = self.table.followed(FOLLOWER).await?.unwrap_or_default() + 1;
        let rows = rows::rows(&now, self.clock.now())?;
        let _ = self.table.append_once(FOLLOWER, next, &[rows]).await?;
        Ok(())
    }

    /// Adds the rows of messages that a kill kept from being told.
    async fn add_messages(&self, talks: &Memories, there: &BTreeSet<Source>) -> anyhow::Result<()> {
        let mut after = 0;
        loop {
            let page = talks.messages(after).await?;
            let Some((last, ..)) = page.last() else { return Ok(()) };
            after = *last;
            let sources = page.into_iter().map(|(_, user, id)| Source { user, kind: SourceKind::Chat, id });
            let missing: Vec<Source> = sources.filter(|source| !there.contains(source)).collect();
            self.renew(&missing).await?;
        }
    }
}

impl Labelled {
    fn id(&self) -> MemoryId {
        let (user, kind) = (self.source.user.clone(), self.source.kind);
        let of = Memory::new(user, kind, &self.source.id, chrono::DateTime::UNIX_EPOCH, "");
        Memory { chunk: self.chunk, ..of }.id()
    }
}

fn read(batch: &RecordBatch) -> anyhow::Result<Vec<Labelled>> {
    let text = |at: usize| cast(batch.column(at), &DataType::Utf8);
    let (users, kinds, ids, versions) = (text(0)?, text(1)?, text(2)?, text(5)?);
    let [users, kinds, ids, versions] = [&users, &kinds, &ids, &versions].map(|c| c.as_string::<i32>());
    let [chunks, revisions] = [3, 4].map(|at| batch.column(at).as_primitive::<Int64Type>());
    let row = |row: usize| -> anyhow::Result<Labelled> {
        let user = UserId::new(users.value(row))?;
        let kind = serde_json::from_value(kinds.value(row).into())?;
        Ok(Labelled {
            source: Source { user, kind, id: ids.value(row).to_owned() },
            chunk: u32::try_from(chunks.value(row))?,
            revision: u32::try_from(revisions.value(row))?,
            version: versions.value(row).to_owned(),
        })
    };
    (0..batch.num_rows()).map(row).collect()
}

/// What of `labelled` does not fit `memories`, or was labelled by another version than `version` and is not among its
/// `current` ones.
fn plan(
    labelled: &[Labelled],
    memories: &HashMap<MemoryId, Memory>,
    version: &str,
    current: &HashSet<MemoryId>,
) -> Plan {
    let (mut stale, mut old) = (BTreeSet::new(), BTreeMap::new());
    for one in labelled {
        match memories.get(&one.id()).filter(|memory| memory.revision == one.revision) {
            Some(memory) if one.version != version && !current.contains(&memory.id()) => {
                old.insert(memory.id(), memory.clone());
            }
            Some(_) => {}
            None => {
                stale.insert(one.source.clone());
            }
        }
    }
    let old = old.into_values().filter(|memory| !stale.contains(&Source::of(memory))).collect();
    Plan { stale, old }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn rows_are_compared_with_what_is_remembered() {
        let user = UserId::new("ada").unwrap();
        let memory = |id: &str, revision: u32| {
            let of = Memory::new(user.clone(), SourceKind::Note, id, DateTime::UNIX_EPOCH, "text");
            Memory { revision, ..of }
        };
        let row = |id: &str, revision: u32, version: &str| Labelled {
            source: Source { user: user.clone(), kind: SourceKind::Note, id: id.into() },
            chunk: 0,
            revision,
            version: version.into(),
        };
        let memories: HashMap<_, _> =
            [memory("a", 0), memory("b", 2), memory("c", 0)].into_iter().map(|m| (m.id(), m)).collect();
        let current = HashSet::from([memory("c", 0).id()]);
        let table: &[(&[Labelled], &[&str], &[&str])] = &[
            (&[row("a", 0, "new")], &[], &[]),
            (&[row("a", 0, "old"), row("a", 0, "older")], &[], &["a"]),
            (&[row("c", 0, "old"), row("c", 0, "new")], &[], &[]),
            (&[row("gone", 0, "new")], &["gone"], &[]),
            (&[row("b", 0, "old"), row("b", 2, "old"), row("a", 0, "old")], &["b"], &["a"]),
        ];
        for (rows, stale, old) in table {
            let plan = plan(rows, &memories, "new", &current);
            let found: Vec<&str> = plan.stale.iter().map(|source| source.id.as_str()).collect();
            let anew: Vec<&str> = plan.old.iter().map(|memory| memory.source_id.as_str()).collect();
            assert_eq!((found.as_slice(), anew.as_slice()), (*stale, *old), "{rows:?}");
        }
    }
}
