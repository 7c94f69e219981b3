//! Writes a folder exactly once: one file an epoch.
//!
//! Rows go to `.JOB-TABLE.part`; staging closes, syncs and renames it to `.JOB-TABLE-EPOCH.staged`, which no reader
//! looks at; the commit renames that to `JOB-TABLE-EPOCH.json` (or `.parquet`), which changes nothing when it has
//! been done.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::connectors::row_file::{Format, RowFile, sweep, sync_folder};
use crate::{Error, Result, Sink, SinkContext};

pub(super) struct FolderSink {
    folder: PathBuf,
    /// Beginning of the names of this job's files.
    stem: String,
    format: Format,
    schema: SchemaRef,
    part: Option<RowFile>,
    /// Nothing was staged by this process yet.
    first: bool,
}

/// What was staged: names in the folder.
#[derive(Debug, Serialize, Deserialize)]
struct Staged {
    from: String,
    to: String,
}

impl FolderSink {
    pub(super) fn open(
        table: &str,
        folder: PathBuf,
        format: Format,
        schema: SchemaRef,
        context: &SinkContext,
    ) -> Result<Self> {
        let fail = |e| Error::io(format!("making {}", folder.display()), e);
        std::fs::create_dir_all(&folder).map_err(fail)?;
        let stem = format!("{}-{}", plain(&context.job), plain(table));
        if !context.resumed {
            // Epochs begin anew, and so would the names: what another run wrote is not ours to replace.
            let mut names = std::fs::read_dir(&folder).map_err(fail)?.flatten().map(|e| e.file_name());
            if let Some(name) = names.find(|n| !n.to_string_lossy().starts_with('.')) {
                return Err(Error::Invalid(format!(
                    "table {table}: {} holds {} already; give an empty folder, or resume from the checkpoint",
                    folder.display(),
                    name.to_string_lossy()
                )));
            }
        }
        Ok(Self { folder, stem, format, schema, part: None, first: true })
    }

    fn part(&self) -> PathBuf {
        self.folder.join(format!(".{}.part", self.stem))
    }
}

#[async_trait]
impl Sink for FolderSink {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if self.part.is_none() {
            self.part = Some(RowFile::create(&self.part(), self.format, self.schema.clone())?);
        }
        self.part.as_mut().map_or(Ok(()), |part| part.write(&batch))
    }

    async fn stage(&mut self, epoch: u64) -> Result<serde_json::Value> {
        if std::mem::take(&mut self.first) {
            sweep(&self.folder, &format!(".{}-", self.stem))?;
        }
        let Some(part) = self.part.take() else { return Ok(serde_json::Value::Null) };
        part.finish()?;
        let from = format!(".{}-{epoch:020}.staged", self.stem);
        let to = format!("{}-{epoch:020}.{}", self.stem, self.format.extensions()[0]);
        let renamed = std::fs::rename(self.part(), self.folder.join(&from));
        renamed.map_err(|e| Error::io(format!("staging {from} in {}", self.folder.display()), e))?;
        sync_folder(&self.folder)?;
        serde_json::to_value(Staged { from, to }).map_err(|e| Error::Internal(e.to_string()))
    }

    async fn commit(&mut self, _: u64, staged: &serde_json::Value) -> Result<()> {
        let Staged { from, to } = serde_json::from_value(staged.clone())
            .map_err(|e| Error::Checkpoint { name: "filesystem".into(), message: e.to_string() })?;
        let (from, to) = (self.folder.join(from), self.folder.join(to));
        if from.exists() {
            std::fs::rename(&from, &to).map_err(|e| Error::io(format!("committing {}", to.display()), e))?;
            return sync_folder(&self.folder);
        }
        if to.exists() {
            return Ok(());
        }
        Err(Error::Checkpoint {
            name: from.display().to_string(),
            message: format!("is gone and {} is not there; start without the checkpoint", to.display()),
        })
    }
}

/// A name that any file system takes; `-` stands between names.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}
