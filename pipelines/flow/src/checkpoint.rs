//! What a checkpoint holds and how it becomes durable at once.
//!
//! `checkpoint-<epoch>.json` names everything: positions of the sources, state files of the stages, what each
//! sink staged. State files are written first and never changed; writing the JSON file decides the epoch. On a
//! local disk: temporary file, fsync, rename, fsync of the folder; on an object store: one put.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, SourceOffset, failpoint};

mod erase;
pub use erase::ErasedState;

/// Version of the format that is written. Version 2: a stage has several state tables, and a run names its own.
pub(crate) const VERSION: u32 = 2;
/// The oldest version that can still be read; what lies between is read by defaults of the fields added since.
const VERSION_OLDEST: u32 = 1;
const RESERVED: &str = "epochs.json";
/// Looks for the newest checkpoint beside a pipeline that runs.
const LOOKS_MAX: u32 = 5;

/// Where checkpoints are kept.
#[derive(Clone, Debug)]
pub struct CheckpointStore(Place);

#[derive(Clone, Debug)]
enum Place {
    Local(PathBuf),
    Object(Arc<dyn ObjectStore>, object_store::path::Path),
}

/// One decided epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) version: u32,
    pub(crate) epoch: u64,
    pub(crate) jobs: BTreeMap<String, JobState>,
}

/// One job in a checkpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct JobState {
    /// Hash of the program; another one cannot use this state.
    pub(crate) identity: String,
    pub(crate) sources: Vec<SourceOffset>,
    pub(crate) stages: Vec<StageState>,
    pub(crate) sinks: BTreeMap<String, SinkState>,
    /// By source and table.
    #[serde(default)]
    pub(crate) late: Vec<LateRows>,
}

/// Rows of a source that came too late for windows of a table, since the job's state began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRows {
    /// Name of the job.
    pub job: String,
    /// Name of the source in the job; several, where the rows of a window come from several.
    pub source: String,
    /// Name of the sink table in the job.
    pub table: String,
    /// How many.
    pub rows: u64,
    /// When a checkpoint last found more than the one before (ms since 1970, UTC).
    pub last_seen_ms: Option<i64>,
}

/// One stage in a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StageState {
    pub(crate) watermark_ns: i64,
    pub(crate) late_rows: u64,
    pub(crate) runs: Vec<Run>,
}

/// One state file; files of one table are put back in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) file: String,
    /// Which table of the stage's state (since version 2).
    #[serde(default)]
    pub(crate) table: usize,
    pub(crate) rows: usize,
    pub(crate) bytes: usize,
}

/// One sink in a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SinkState {
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) watermark_ns: i64,
    pub(crate) late_rows: u64,
    pub(crate) staged: serde_json::Value,
    pub(crate) dirty: Option<String>,
}

impl Manifest {
    fn files(&self) -> impl Iterator<Item = &str> {
        self.jobs.values().flat_map(|job| {
            let runs = job.stages.iter().flat_map(|s| s.runs.iter().map(|r| r.file.as_str()));
            runs.chain(job.sinks.values().filter_map(|s| s.dirty.as_deref()))
        })
    }
}

impl CheckpointStore {
    /// A folder on a local disk; made when missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn local(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(format!("making {}", folder.display()), e))?;
        Ok(Self(Place::Local(folder)))
    }

    /// A prefix of an object store.
    #[must_use]
    pub fn object(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        Self(Place::Object(store, object_store::path::Path::from(prefix)))
    }

    /// The checkpoints there are, the newest last.
    pub(crate) async fn manifests(&self) -> Result<Vec<Manifest>> {
        let names = self.names().await?;
        let mut manifests = Vec::with_capacity(names.len());
        for name in names {
            manifests.push(self.manifest(&name).await?);
        }
        Ok(manifests)
    }

    async fn names(&self) -> Result<Vec<String>> {
        let mut names = self.list().await?;
        names.retain(|n| n.starts_with("checkpoint-") && n.ends_with(".json"));
        names.sort();
        Ok(names)
    }

    async fn manifest(&self, name: &str) -> Result<Manifest> {
        let bytes = self.get(name).await?;
        let bad = |message: String| Error::Checkpoint { name: name.to_owned(), message };
        let manifest: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|e| bad(format!("is not JSON: {e}")))?;
        match manifest.get("version").and_then(serde_json::Value::as_u64) {
            Some(v) if (u64::from(VERSION_OLDEST)..=u64::from(VERSION)).contains(&v) => {}
            other => {
                return Err(bad(format!(
                    "has format version {other:?}, this program reads {VERSION_OLDEST} to {VERSION}; use the version that wrote it"
                )));
            }
        }
        serde_json::from_value(manifest).map_err(|e| bad(format!("is incomplete: {e}")))
    }

    /// The newest checkpoint. A pipeline that runs may delete it between two looks: then there is a newer one.
    async fn newest(&self) -> Result<Option<Manifest>> {
        let mut tried = 0;
        loop {
            let Some(name) = self.names().await?.pop() else { return Ok(None) };
            match self.manifest(&name).await {
                Err(Error::Io { .. } | Error::Connector { .. }) if tried < LOOKS_MAX => tried += 1,
                found => return found.map(Some),
            }
        }
    }

    /// Rows that came late, by job, source and table, as the newest checkpoint counts them; works beside a pipeline
    /// that runs.
    ///
    /// # Errors
    /// When the checkpoint cannot be read.
    pub async fn late_rows(&self) -> Result<Vec<LateRows>> {
        let newest = self.newest().await?;
        Ok(newest.into_iter().flat_map(|manifest| manifest.jobs.into_values()).flat_map(|j| j.late).collect())
    }

    /// The jobs of the newest checkpoint, each with the [identity](crate::Program::identity) of the program whose state
    /// it holds.
    ///
    /// # Errors
    /// When a checkpoint cannot be read.
    pub async fn jobs(&self) -> Result<BTreeMap<String, String>> {
        let newest = self.newest().await?;
        let jobs = newest.map(|manifest| manifest.jobs).unwrap_or_default();
        Ok(jobs.into_iter().map(|(name, state)| (name, state.identity)).collect())
    }

    /// Makes a checkpoint durable; its files must be already.
    pub(crate) async fn decide(&self, manifest: &Manifest) -> Result<()> {
        let json = serde_json::to_vec_pretty(manifest).map_err(|e| Error::Internal(e.to_string()))?;
        self.put(&format!("checkpoint-{:020}.json", manifest.epoch), json).await
    }

    /// The first epoch number that was never promised to anyone, then promises `count` from it.
    pub(crate) async fn reserve(&self, at_least: u64, count: u64) -> Result<u64> {
        let names = self.list().await?;
        let mut next = at_least;
        if names.iter().any(|n| n == RESERVED) {
            let bytes = self.get(RESERVED).await?;
            let reserved: u64 = serde_json::from_slice(&bytes)
                .map_err(|e| Error::Checkpoint { name: RESERVED.into(), message: e.to_string() })?;
            next = next.max(reserved);
        }
        self.put(RESERVED, (next + count).to_string().into_bytes()).await?;
        Ok(next)
    }

    /// Deletes every file that none of `kept` names.
    pub(crate) async fn clean(&self, kept: &[Manifest]) -> Result<()> {
        let mut names: BTreeSet<String> = kept.iter().flat_map(|m| m.files().map(str::to_owned)).collect();
        names.extend(kept.iter().map(|m| format!("checkpoint-{:020}.json", m.epoch)));
        names.insert(RESERVED.into());
        for name in self.list().await? {
            if !names.contains(&name) {
                self.delete(&name).await?;
            }
        }
        Ok(())
    }

    /// Writes batches as one Parquet file and says how large it is.
    pub(crate) async fn write(&self, name: &str, table: usize, batches: Vec<RecordBatch>) -> Result<Run> {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let bytes = tokio::task::spawn_blocking(move || encode(&batches))
            .await
            .map_err(|e| Error::Internal(format!("writing state: {e}")))??;
        let run = Run { file: name.to_owned(), table, rows, bytes: bytes.len() };
        self.put(name, bytes).await?;
        Ok(run)
    }

    /// Reads a file of [`Self::write`].
    pub(crate) async fn read(&self, name: &str) -> Result<Vec<RecordBatch>> {
        let bytes = self.get(name).await?;
        let bad = |message: String| Error::Checkpoint { name: name.to_owned(), message };
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| bad(e.to_string()))?.build();
        let reader = reader.map_err(|e| bad(e.to_string()))?;
        reader.collect::<Result<_, _>>().map_err(|e| bad(e.to_string()))
    }

    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        match &self.0 {
            Place::Local(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                let written = tokio::task::spawn_blocking(move || put_local(&folder, &name, &bytes)).await;
                written.map_err(|e| Error::Internal(format!("writing a checkpoint: {e}")))?
            }
            Place::Object(store, prefix) => {
                let put = store.put(&prefix.clone().join(name), bytes.into()).await;
                put.map(|_| ()).map_err(|e| Error::connector(format!("writing checkpoint {name}"), true, e))
            }
        }
    }

    async fn get(&self, name: &str) -> Result<Bytes> {
        match &self.0 {
            Place::Local(folder) => {
                let path = folder.join(name);
                let bytes = tokio::fs::read(&path).await;
                bytes.map(Bytes::from).map_err(|e| Error::io(format!("reading {}", path.display()), e))
            }
            Place::Object(store, prefix) => {
                let fail = |e| Error::connector(format!("reading checkpoint {name}"), true, e);
                store.get(&prefix.clone().join(name)).await.map_err(fail)?.bytes().await.map_err(fail)
            }
        }
    }

    async fn list(&self) -> Result<Vec<String>> {
        match &self.0 {
            Place::Local(folder) => {
                let fail = |e| Error::io(format!("listing {}", folder.display()), e);
                let mut names = Vec::new();
                for entry in std::fs::read_dir(folder).map_err(fail)? {
                    names.push(entry.map_err(fail)?.file_name().to_string_lossy().into_owned());
                }
                Ok(names)
            }
            Place::Object(store, prefix) => {
                let found: Vec<_> = store
                    .list(Some(prefix))
                    .try_collect()
                    .await
                    .map_err(|e| Error::connector("listing checkpoints", true, e))?;
                Ok(found.iter().filter_map(|o| o.location.filename().map(str::to_owned)).collect())
            }
        }
    }

    async fn delete(&self, name: &str) -> Result<()> {
        match &self.0 {
            Place::Local(folder) => {
                let path = folder.join(name);
                std::fs::remove_file(&path).map_err(|e| Error::io(format!("deleting {}", path.display()), e))
            }
            Place::Object(store, prefix) => store
                .delete(&prefix.clone().join(name))
                .await
                .map_err(|e| Error::connector(format!("deleting checkpoint {name}"), true, e)),
        }
    }
}

fn encode(batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let fail = |e: parquet::errors::ParquetError| Error::Internal(format!("encoding state: {e}"));
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), first.schema(), Some(properties)).map_err(fail)?;
    for batch in batches {
        writer.write(batch).map_err(fail)?;
    }
    writer.into_inner().map_err(fail)
}

fn put_local(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    let path = folder.join(name);
    let temporary = folder.join(format!(".{name}.tmp"));
    let failed = |e| Error::io(format!("writing {}", path.display()), e);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    let publish = || -> std::io::Result<()> {
        std::fs::rename(&temporary, &path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    write().map_err(failed)?;
    failpoint("before rename")?;
    publish().map_err(failed)?;
    failpoint("after rename")
}
