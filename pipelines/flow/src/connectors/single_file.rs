//! `connector = 'single_file'`: newline-delimited JSON, read to its end or written exactly once.
//!
//! A source's offset is a byte position. A sink stages an epoch as `PATH.epoch-N` and commits it by writing it
//! at the position that was the file's end when it staged, so that doing it twice changes nothing.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::reader::{Decoder, ReaderBuilder};
use arrow::json::writer::{LineDelimited, WriterBuilder};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Connector, Error, Polled, Reader, Result, Sink, SinkContext, Source, TableDef};

/// Bytes read from the file at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct SingleFile {
    /// Rows of a batch.
    pub batch_rows: usize,
}

impl Default for SingleFile {
    fn default() -> Self {
        Self { batch_rows: 8192 }
    }
}

#[async_trait]
impl Connector for SingleFile {
    async fn source(&self, table: &TableDef) -> Result<Box<dyn Source>> {
        check_format(table)?;
        let path = PathBuf::from(table.option("path")?);
        if !path.is_file() {
            return Err(Error::NotFound(format!("table {}: {} is not a file", table.name, path.display())));
        }
        Ok(Box::new(FileSource { path, schema: table.physical.clone(), batch_rows: self.batch_rows }))
    }

    async fn sink(&self, table: &TableDef, context: &SinkContext) -> Result<Box<dyn Sink>> {
        check_format(table)?;
        let path = PathBuf::from(table.option("path")?);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|e| Error::io(format!("opening {}", path.display()), e))?;
        if !context.resumed {
            file.set_len(0).map_err(|e| Error::io(format!("emptying {}", path.display()), e))?;
        }
        Ok(Box::new(FileSink { path, rows: Vec::new() }))
    }
}

fn check_format(table: &TableDef) -> Result<()> {
    match table.options.get("format").map(String::as_str) {
        None | Some("json") => Ok(()),
        Some("debezium_json") if table.writes_changes() => Ok(()),
        Some(other) => Err(Error::Invalid(format!(
            "table {}: single_file has no format '{other}'; write format = 'json' (a sink: or 'debezium_json')",
            table.name
        ))),
    }
}

struct FileSource {
    path: PathBuf,
    schema: SchemaRef,
    batch_rows: usize,
}

#[async_trait]
impl Source for FileSource {
    fn partitions(&self) -> usize {
        1
    }

    async fn open(&self, _: usize, from: Option<u64>) -> Result<Box<dyn Reader>> {
        let fail = |e| Error::io(format!("opening {}", self.path.display()), e);
        let mut file = File::open(&self.path).map_err(fail)?;
        let offset = from.unwrap_or(0);
        file.seek(SeekFrom::Start(offset)).map_err(fail)?;
        let decoder =
            ReaderBuilder::new(self.schema.clone()).with_batch_size(self.batch_rows).build_decoder()?;
        let path = self.path.clone();
        Ok(Box::new(FileReader { path, file, decoder, buffer: Vec::new(), used: 0, offset, at_end: false }))
    }
}

struct FileReader {
    path: PathBuf,
    file: File,
    decoder: Decoder,
    buffer: Vec<u8>,
    /// Bytes of the buffer that the decoder has taken.
    used: usize,
    /// Position in the file of the next byte the decoder takes.
    offset: u64,
    at_end: bool,
}

impl FileReader {
    fn fill(&mut self) -> Result<()> {
        self.buffer.resize(CHUNK_BYTES, 0);
        let read = self.file.read(&mut self.buffer);
        let read = read.map_err(|e| Error::io(format!("reading {}", self.path.display()), e))?;
        self.buffer.truncate(read);
        self.used = 0;
        self.at_end = read == 0;
        Ok(())
    }

    fn bad(&self, source: arrow::error::ArrowError) -> Error {
        let what = format!("{}: a row near byte {} does not fit the table", self.path.display(), self.offset);
        Error::Arrow { what, source }
    }
}

#[async_trait]
impl Reader for FileReader {
    async fn next(&mut self) -> Result<Polled> {
        loop {
            if self.used == self.buffer.len() && !self.at_end {
                self.fill()?;
            }
            let taken = self.decoder.decode(&self.buffer[self.used..]).map_err(|e| self.bad(e))?;
            self.used += taken;
            self.offset += u64::try_from(taken).unwrap_or(0);
            // The decoder stops at a row's end when its batch is full; else it wants more bytes.
            if self.used < self.buffer.len() || self.at_end {
                return match self.decoder.flush().map_err(|e| self.bad(e))? {
                    Some(batch) => Ok(Polled::Rows { batch, next_offset: self.offset }),
                    None if self.at_end => Ok(Polled::End),
                    None => continue,
                };
            }
        }
    }
}

struct FileSink {
    path: PathBuf,
    rows: Vec<u8>,
}

/// What was staged: that many bytes in `file` belong at `at`.
#[derive(Debug, Serialize, Deserialize)]
struct Staged {
    file: PathBuf,
    at: u64,
    bytes: u64,
}

#[async_trait]
impl Sink for FileSink {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let mut writer =
            WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut self.rows);
        writer.write(&batch)?;
        Ok(writer.finish()?)
    }

    async fn stage(&mut self, epoch: u64) -> Result<serde_json::Value> {
        if self.rows.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".epoch-{epoch}"));
        let file = PathBuf::from(name);
        let fail = |e| Error::io(format!("staging {}", file.display()), e);
        let at = std::fs::metadata(&self.path).map_err(fail)?.len();
        let mut out = File::create(&file).map_err(fail)?;
        out.write_all(&self.rows).and_then(|()| out.sync_all()).map_err(fail)?;
        let bytes = u64::try_from(self.rows.len()).unwrap_or(u64::MAX);
        self.rows.clear();
        let staged = serde_json::to_value(Staged { file, at, bytes });
        staged.map_err(|e| Error::Internal(e.to_string()))
    }

    async fn commit(&mut self, _: u64, staged: &serde_json::Value) -> Result<()> {
        let staged: Staged = serde_json::from_value(staged.clone())
            .map_err(|e| Error::Checkpoint { name: "single_file".into(), message: e.to_string() })?;
        let fail = |e| Error::io(format!("committing {}", staged.file.display()), e);
        if staged.file.exists() {
            let rows = std::fs::read(&staged.file).map_err(fail)?;
            commit_at(&self.path, staged.at, &rows).map_err(fail)?;
            return std::fs::remove_file(&staged.file).map_err(fail);
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

fn commit_at(path: &Path, at: u64, rows: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.set_len(at)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(rows)?;
    file.sync_all()
}
