//! Reads a folder: each file is a partition, so that none holds rows that another makes late.

use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use sha2::{Digest, Sha256};

use crate::connectors::ndjson::NdjsonReader;
use crate::connectors::parquet_rows::ParquetReader;
use crate::connectors::row_file::Format;
use crate::connectors::wanted::Wanted;
use crate::{Error, Polled, Reader, Result, Source};

/// Files open at a time.
const FILES_MAX: usize = 256;
/// Bits of an offset that are the position in the file; those above tell which file it is.
const POSITION_BITS: u32 = 48;

pub(super) struct FolderSource {
    table: String,
    files: Vec<PathBuf>,
    format: Format,
    schema: SchemaRef,
    wanted: Wanted,
    batch_rows: usize,
}

impl FolderSource {
    /// The files under `path`, or `path` itself, in the order of their names. Names that begin with `.` or `_`
    /// are somebody's unfinished work.
    pub(super) fn find(
        table: &str,
        path: &Path,
        format: Format,
        schema: SchemaRef,
        batch_rows: usize,
    ) -> Result<Self> {
        let mut files = Vec::new();
        if path.is_dir() {
            list(path, format, &mut files)?;
        } else if path.is_file() {
            files.push(path.to_owned());
        }
        files.sort();
        let ends = format.extensions().join(", .");
        if files.is_empty() {
            return Err(Error::NotFound(format!("table {table}: no file .{ends} in {}", path.display())));
        }
        if files.len() > FILES_MAX {
            return Err(Error::Invalid(format!(
                "table {table}: {} holds {} files and at most {FILES_MAX} are read at a time; put them together, or \
                 read a part of the folder",
                path.display(),
                files.len()
            )));
        }
        let wanted = Wanted::all(&schema);
        Ok(Self { table: table.to_owned(), files, format, schema, wanted, batch_rows })
    }
}

fn list(folder: &Path, format: Format, into: &mut Vec<PathBuf>) -> Result<()> {
    let fail = |e| Error::io(format!("listing {}", folder.display()), e);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(['.', '_'])) {
            continue;
        }
        if path.is_dir() {
            list(&path, format, into)?;
        } else if path.extension().is_some_and(|e| format.extensions().iter().any(|x| e == *x)) {
            into.push(path);
        }
    }
    Ok(())
}

#[async_trait]
impl Source for FolderSource {
    fn partitions(&self) -> usize {
        self.files.len()
    }

    fn read_only(&mut self, columns: &[usize]) {
        self.wanted = Wanted::only(&self.schema, columns);
    }

    async fn open(&self, partition: usize, from: Option<u64>) -> Result<Box<dyn Reader>> {
        let file = &self.files[partition];
        let tag = tag(file) << POSITION_BITS;
        let position = from.map_or(0, |offset| offset & !(u64::MAX << POSITION_BITS));
        if from.is_some_and(|offset| offset != tag | position) {
            return Err(Error::Invalid(format!(
                "table {}: file {} in order is now {}, another one than at the checkpoint; add files only with names \
                 behind the others, or start without the checkpoint",
                self.table,
                partition + 1,
                file.display()
            )));
        }
        let wanted = self.wanted.clone();
        let inner: Box<dyn Reader> = match self.format {
            Format::Json => Box::new(NdjsonReader::open(file, wanted, self.batch_rows, position)?),
            Format::Parquet => Box::new(ParquetReader::open(file, wanted, self.batch_rows, position)?),
        };
        Ok(Box::new(FileReader { inner, tag }))
    }
}

/// Sixteen bits that a file's name decides.
fn tag(file: &Path) -> u64 {
    let name = file.file_name().unwrap_or_default();
    let hash = Sha256::digest(name.to_string_lossy().as_bytes());
    hash.iter().take(2).fold(0, |tag, byte| tag << 8 | u64::from(*byte))
}

/// Marks each offset with its file.
struct FileReader {
    inner: Box<dyn Reader>,
    tag: u64,
}

#[async_trait]
impl Reader for FileReader {
    async fn next(&mut self) -> Result<Polled> {
        Ok(match self.inner.next().await? {
            Polled::Rows { batch, next_offset } => {
                Polled::Rows { batch, next_offset: self.tag | next_offset }
            }
            other => other,
        })
    }
}
