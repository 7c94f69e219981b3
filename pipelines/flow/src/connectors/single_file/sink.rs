//! Writes one file exactly once.
//!
//! Rows of an epoch go to `PATH.part`, which becomes `PATH.epoch-N` when they are staged. The commit writes them
//! at the position that was the file's end then, so that doing it twice changes nothing.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::connectors::row_file::{Format, RowFile, sweep, sync_folder};
use crate::{Error, Result, Sink};

pub(super) struct FileSink {
    path: PathBuf,
    schema: SchemaRef,
    /// Rows of the next epoch.
    part: Option<RowFile>,
    /// Nothing was staged by this process yet.
    first: bool,
}

/// What was staged: that many bytes in `file` belong at `at`.
#[derive(Debug, Serialize, Deserialize)]
struct Staged {
    file: PathBuf,
    at: u64,
    bytes: u64,
}

impl FileSink {
    pub(super) fn open(path: PathBuf, schema: SchemaRef, resumed: bool) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|e| Error::io(format!("opening {}", path.display()), e))?;
        if !resumed {
            file.set_len(0).map_err(|e| Error::io(format!("emptying {}", path.display()), e))?;
        }
        Ok(Self { path, schema, part: None, first: true })
    }

    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(end);
        PathBuf::from(name)
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if self.part.is_none() {
            let schema = self.schema.clone();
            self.part = Some(RowFile::create(&self.beside(".part"), Format::Json, schema)?);
        }
        self.part.as_mut().map_or(Ok(()), |part| part.write(&batch))
    }

    async fn stage(&mut self, epoch: u64) -> Result<serde_json::Value> {
        if std::mem::take(&mut self.first)
            && let Some(name) = self.path.file_name()
        {
            sweep(self.folder(), &format!("{}.epoch-", name.to_string_lossy()))?;
        }
        let Some(part) = self.part.take() else { return Ok(serde_json::Value::Null) };
        let bytes = part.finish()?;
        let file = self.beside(&format!(".epoch-{epoch}"));
        let fail = |e| Error::io(format!("staging {}", file.display()), e);
        let at = std::fs::metadata(&self.path).map_err(fail)?.len();
        std::fs::rename(self.beside(".part"), &file).map_err(fail)?;
        sync_folder(self.folder())?;
        let staged = serde_json::to_value(Staged { file, at, bytes });
        staged.map_err(|e| Error::Internal(e.to_string()))
    }

    async fn commit(&mut self, _: u64, staged: &serde_json::Value) -> Result<()> {
        let staged: Staged = serde_json::from_value(staged.clone())
            .map_err(|e| Error::Checkpoint { name: "single_file".into(), message: e.to_string() })?;
        let fail = |e| Error::io(format!("committing {}", staged.file.display()), e);
        if staged.file.exists() {
            if staged.at == 0 {
                // The first rows: the staged file is the whole file.
                std::fs::rename(&staged.file, &self.path).map_err(fail)?;
            } else {
                append_at(&self.path, staged.at, &staged.file).map_err(fail)?;
                std::fs::remove_file(&staged.file).map_err(fail)?;
            }
            return sync_folder(self.folder());
        }
        // Done before: the staged file goes last.
        let length = std::fs::metadata(&self.path).map_err(fail)?.len();
        if length < staged.at + staged.bytes {
            return Err(Error::Checkpoint {
                name: staged.file.display().to_string(),
                message: format!(
                    "is gone and {} does not hold its rows; start without the checkpoint",
                    self.path.display()
                ),
            });
        }
        Ok(())
    }
}

fn append_at(path: &Path, at: u64, rows: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(at)?;
    file.seek(SeekFrom::Start(at))?;
    std::io::copy(&mut File::open(rows)?, &mut file)?;
    file.sync_all()
}
