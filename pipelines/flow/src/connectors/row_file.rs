//! One file of rows being written, as NDJSON or Parquet.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::{Error, Result, TableDef};

/// Rows held in memory before they are written.
const ROW_GROUP_ROWS: usize = 128 << 10;
/// Bytes of JSON held in memory before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Parquet,
}

impl Format {
    /// The `format` option of a table; JSON when there is none.
    pub(super) fn of(table: &TableDef) -> Result<Self> {
        match table.options.get("format").map(String::as_str) {
            None | Some("json") => Ok(Self::Json),
            Some("parquet") => Ok(Self::Parquet),
            // The engine gives such a sink envelopes of changes; they are written like any row.
            Some("debezium_json") if table.writes_changes() => Ok(Self::Json),
            Some(other) => Err(Error::Invalid(format!(
                "table {}: no format '{other}'; write format = 'json' (a JSON object a line; a sink: or 'debezium_json') or 'parquet'",
                table.name
            ))),
        }
    }

    /// Ends of the names of files in this format; the first is the one we write.
    pub(super) const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["json", "ndjson", "jsonl"],
            Self::Parquet => &["parquet"],
        }
    }
}

/// A file being written.
pub(super) struct RowFile {
    path: PathBuf,
    rows: Rows,
}

enum Rows {
    Json(BufWriter<File>),
    Parquet(Box<ArrowWriter<File>>),
}

impl RowFile {
    /// Makes or empties `path`.
    pub(super) fn create(path: &Path, format: Format, schema: SchemaRef) -> Result<Self> {
        let file = File::create(path).map_err(|e| Error::io(format!("making {}", path.display()), e))?;
        let rows = match format {
            Format::Json => Rows::Json(BufWriter::with_capacity(BUFFER_BYTES, file)),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
                let writer = ArrowWriter::try_new(file, schema, Some(properties.build()));
                Rows::Parquet(Box::new(writer.map_err(|e| failed(path, e))?))
            }
        };
        Ok(Self { path: path.to_owned(), rows })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.rows {
            Rows::Json(out) => {
                let builder = WriterBuilder::new().with_explicit_nulls(true);
                let mut writer = builder.build::<_, LineDelimited>(out);
                writer.write(batch)?;
                Ok(writer.finish()?)
            }
            Rows::Parquet(out) => out.write(batch).map_err(|e| failed(&self.path, e)),
        }
    }

    /// Makes what was written durable and gives its length.
    pub(super) fn finish(self) -> Result<u64> {
        let io = |e| Error::io(format!("writing {}", self.path.display()), e);
        let file = match self.rows {
            Rows::Json(mut out) => {
                out.flush().map_err(io)?;
                out.into_inner().map_err(|e| io(e.into_error()))?
            }
            Rows::Parquet(out) => out.into_inner().map_err(|e| failed(&self.path, e))?,
        };
        file.sync_all().map_err(io)?;
        Ok(file.metadata().map_err(io)?.len())
    }
}

fn failed(path: &Path, source: parquet::errors::ParquetError) -> Error {
    Error::connector(format!("writing {}", path.display()), false, source)
}

/// Makes renames in the folder of `path` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|f| f.sync_all());
    synced.map_err(|e| Error::io(format!("syncing {}", folder.display()), e))
}

/// Deletes the files of `folder` whose names begin with `prefix`: staged for epochs that were never decided.
pub(super) fn sweep(folder: &Path, prefix: &str) -> Result<()> {
    let fail = |e| Error::io(format!("clearing {}", folder.display()), e);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            std::fs::remove_file(entry.path()).map_err(fail)?;
        }
    }
    Ok(())
}
