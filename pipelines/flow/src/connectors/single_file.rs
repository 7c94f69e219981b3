//! `connector = 'single_file'`: newline-delimited JSON, read to its end or written exactly once.

mod sink;

use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use super::ndjson::NdjsonReader;
use super::row_file::Format;
use super::wanted::Wanted;
use crate::{Connector, Error, Reader, Result, Sink, SinkContext, Source, TableDef};
use sink::FileSink;

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct SingleFile {
    /// Rows of a batch at most.
    pub batch_rows: usize,
}

impl Default for SingleFile {
    fn default() -> Self {
        Self { batch_rows: super::BATCH_ROWS }
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
        let (schema, batch_rows) = (table.physical.clone(), self.batch_rows);
        Ok(Box::new(FileSource { path, wanted: Wanted::all(&schema), schema, batch_rows }))
    }

    async fn sink(&self, table: &TableDef, context: &SinkContext) -> Result<Box<dyn Sink>> {
        check_format(table)?;
        let path = PathBuf::from(table.option("path")?);
        Ok(Box::new(FileSink::open(path, table.physical.clone(), context.resumed)?))
    }
}

fn check_format(table: &TableDef) -> Result<()> {
    match Format::of(table)? {
        Format::Json => Ok(()),
        Format::Parquet => Err(Error::Invalid(format!(
            "table {}: single_file has no format 'parquet'; write connector = 'filesystem'",
            table.name
        ))),
    }
}

/// An offset is a byte of the file.
struct FileSource {
    path: PathBuf,
    schema: SchemaRef,
    wanted: Wanted,
    batch_rows: usize,
}

#[async_trait]
impl Source for FileSource {
    fn partitions(&self) -> usize {
        1
    }

    fn read_only(&mut self, columns: &[usize]) {
        self.wanted = Wanted::only(&self.schema, columns);
    }

    async fn open(&self, _: usize, from: Option<u64>) -> Result<Box<dyn Reader>> {
        let wanted = self.wanted.clone();
        let reader = NdjsonReader::open(&self.path, wanted, self.batch_rows, from.unwrap_or(0))?;
        Ok(Box::new(reader))
    }
}
