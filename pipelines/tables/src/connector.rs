//! Delta tables as sinks of the streaming engine: `connector = 'delta', path = '$lake/NAME'`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use crave_flow::{Connector, Error, Result, Sink, SinkContext, Source, TableDef, failpoint};
use serde::{Deserialize, Serialize};

use crate::{
    Table, Tables, commit,
    staged::{self, StagedFile},
};

/// Writes tables. Shares the number of the last decided epoch with the [`Observer`](crate::Observer).
#[derive(Clone, Debug)]
pub struct DeltaConnector {
    /// Where the tables are.
    pub tables: Arc<Tables>,
    /// The last epoch whose checkpoint is durable.
    pub decided: Arc<AtomicU64>,
}

#[async_trait]
impl Connector for DeltaConnector {
    async fn source(&self, table: &TableDef) -> Result<Box<dyn Source>> {
        Err(Error::Invalid(format!(
            "table {}: Delta tables are written by jobs, not read; read the topic, or query the table with `crave sql`",
            table.name
        )))
    }

    async fn sink(&self, table: &TableDef, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let path = table.option("path")?;
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let table = self.tables.open(name, &table.physical, context.resumed).await.map_err(external)?;
        Ok(Box::new(DeltaSink { table, decided: Arc::clone(&self.decided), rows: Vec::new() }))
    }
}

struct DeltaSink {
    table: Arc<Table>,
    decided: Arc<AtomicU64>,
    rows: Vec<RecordBatch>,
}

#[derive(Serialize, Deserialize)]
struct Staged {
    files: Vec<StagedFile>,
}

#[async_trait]
impl Sink for DeltaSink {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() > 0 {
            self.rows.push(self.table.conform(&batch).map_err(external)?);
        }
        Ok(())
    }

    async fn stage(&mut self, epoch: u64) -> Result<serde_json::Value> {
        let (rows, table) = (std::mem::take(&mut self.rows), Arc::clone(&self.table));
        let write = move || staged::write(table.folder(), table.name(), epoch, &rows);
        let file = tokio::task::spawn_blocking(write).await.map_err(external)?.map_err(external)?;
        failpoint("after stage")?;
        let Some(file) = file else { return Ok(serde_json::Value::Null) };
        serde_json::to_value(Staged { files: vec![file] }).map_err(external)
    }

    async fn commit(&mut self, epoch: u64, staged: &serde_json::Value) -> Result<()> {
        failpoint("before commit")?;
        let Staged { files } = serde_json::from_value(staged.clone()).map_err(external)?;
        let decided = self.decided.load(Ordering::Acquire);
        let _: commit::Commit = self.table.append(epoch, decided, &files).await.map_err(external)?;
        failpoint("after commit")
    }
}

/// The rows that an epoch staged for a table, wherever the files lie by now.
pub(crate) fn staged_rows(
    table: &Table,
    staged: &serde_json::Value,
) -> Result<Vec<RecordBatch>, crate::Error> {
    if staged.is_null() {
        return Ok(Vec::new());
    }
    let Staged { files } = serde_json::from_value(staged.clone())
        .map_err(crate::Error::data(table.name(), "reading staged files"))?;
    let mut rows = Vec::new();
    for file in &files {
        rows.extend(staged::read(table.folder(), table.name(), file)?);
    }
    Ok(rows)
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::connector("writing a Delta table", false, error)
}
