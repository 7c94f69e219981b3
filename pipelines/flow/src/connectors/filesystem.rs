//! `connector = 'filesystem'`: a folder of Parquet or NDJSON files, or one file, as a source; as a sink, a folder
//! that gets a file an epoch, exactly once.
//!
//! Options as in Arroyo: `path` (a local path, or `file://…`), `format` = 'json' or 'parquet', `type`.

mod sink;
mod source;

use std::path::PathBuf;

use async_trait::async_trait;

use super::row_file::Format;
use crate::{Connector, Error, Result, Sink, SinkContext, Source, TableDef};
use sink::FolderSink;
use source::FolderSource;

/// Options that this connector reads; another one would change nothing, so it is refused.
const OPTIONS: &[&str] = &["connector", "path", "format", "type"];

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct Filesystem {
    /// Rows of a batch at most.
    pub batch_rows: usize,
}

impl Default for Filesystem {
    fn default() -> Self {
        Self { batch_rows: super::BATCH_ROWS }
    }
}

#[async_trait]
impl Connector for Filesystem {
    async fn source(&self, table: &TableDef) -> Result<Box<dyn Source>> {
        let (path, format) = options(table)?;
        Ok(Box::new(FolderSource::find(&table.name, &path, format, table.physical.clone(), self.batch_rows)?))
    }

    async fn sink(&self, table: &TableDef, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let (path, format) = options(table)?;
        Ok(Box::new(FolderSink::open(&table.name, path, format, table.physical.clone(), context)?))
    }
}

fn options(table: &TableDef) -> Result<(PathBuf, Format)> {
    if let Some(stray) = table.options.keys().find(|k| !OPTIONS.contains(&k.as_str())) {
        return Err(Error::Invalid(format!(
            "table {}: filesystem does not know the option '{stray}'; it takes path, format and type",
            table.name
        )));
    }
    let path = table.option("path")?;
    let path = path.strip_prefix("file://").unwrap_or(path);
    if path.contains("://") {
        return Err(Error::Invalid(format!(
            "table {}: filesystem reads and writes local folders, not {path}; mount it, or run the job on Arroyo",
            table.name
        )));
    }
    Ok((PathBuf::from(path), Format::of(table)?))
}

#[cfg(test)]
mod tests;
