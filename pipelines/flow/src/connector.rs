//! The contract between the engine and the outside: sources, sinks, and who is told of an epoch.
//!
//! Protocol (DESIGN §5). A barrier for epoch N follows the rows of N through every task; each sink
//! [stages](Sink::stage); then checkpoint N becomes durable, which decides the epoch; then
//! [`EpochObserver::decided`] is called and each sink [commits](Sink::commit). After a restart the newest
//! checkpoint is told to the observer and committed again, so both must be idempotent by epoch. The number of
//! an epoch that was never decided is not used again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, TableDef};

/// What one call of [`Reader::next`] found.
#[derive(Debug)]
pub enum Polled {
    /// Rows in the table's physical columns.
    Rows {
        /// At least one row.
        batch: RecordBatch,
        /// Where to open to read what follows these rows.
        next_offset: u64,
    },
    /// Nothing arrived for a while; ask again.
    Idle,
    /// A bounded source is read to its end; nothing will follow. It is not asked again.
    End,
}

/// Reads one partition of a source, in order.
#[async_trait]
pub trait Reader: Send {
    /// The next rows. Waits for them, but answers [`Polled::Idle`] within about 50 ms: barriers pass between
    /// calls. The future is never dropped half-way while the pipeline runs.
    ///
    /// # Errors
    /// A failure ends the pipeline; it restarts from the last checkpoint.
    async fn next(&mut self) -> Result<Polled>;
}

/// A table that can be read.
#[async_trait]
pub trait Source: Send + Sync {
    /// How many partitions it has; at least one.
    fn partitions(&self) -> usize;

    /// Told before a partition is opened, when only these columns of the physical schema (in order) will be looked
    /// at. A reader may leave the others NULL, whatever their definition says.
    fn read_only(&mut self, _columns: &[usize]) {}

    /// Opens a partition at an offset once given as `next_offset`, or at its start (`None`).
    ///
    /// # Errors
    /// When the offset is no longer there or the source does not answer.
    async fn open(&self, partition: usize, from: Option<u64>) -> Result<Box<dyn Reader>>;
}

/// What a sink may want to know when it is opened.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// Name of the job that writes.
    pub job: String,
    /// Whether the job continues from a checkpoint; when false, earlier output of this job is not its own.
    pub resumed: bool,
}

/// A table that can be written, one instance for a job; calls never overlap.
#[async_trait]
pub trait Sink: Send {
    /// Takes rows in the table's physical schema; they belong to the epoch staged next. For a table that
    /// [writes changes](TableDef::writes_changes) they are envelopes: `before` and `after`, each a struct of the
    /// table's columns or NULL, and `op` (`c`, `u` or `d`).
    ///
    /// # Errors
    /// A failure ends the pipeline.
    async fn write(&mut self, batch: RecordBatch) -> Result<()>;

    /// Makes all rows of `epoch` durable but not visible, and says what to commit
    /// (`Value::Null` when there is nothing). Rows written later belong to the next epoch, also when
    /// they come before the commit of this one.
    ///
    /// # Errors
    /// A failure ends the pipeline.
    async fn stage(&mut self, epoch: u64) -> Result<serde_json::Value>;

    /// Makes what [`Self::stage`] returned visible. Called once the epoch is decided, and again after a
    /// restart: must do nothing when it has been done. Not called for `Value::Null`.
    ///
    /// # Errors
    /// A failure ends the pipeline; the commit is tried again on restart.
    async fn commit(&mut self, epoch: u64, staged: &serde_json::Value) -> Result<()>;
}

/// Builds sources and sinks of one kind (`connector = 'NAME'`).
#[async_trait]
pub trait Connector: Send + Sync {
    /// A source for a table.
    ///
    /// # Errors
    /// When this connector cannot be read from, or an option is missing or wrong.
    async fn source(&self, table: &TableDef) -> Result<Box<dyn Source>>;

    /// A sink for a table.
    ///
    /// # Errors
    /// When this connector cannot be written to, or an option is missing or wrong.
    async fn sink(&self, table: &TableDef, context: &SinkContext) -> Result<Box<dyn Sink>>;
}

/// Connectors by name.
#[derive(Clone, Default)]
pub struct Connectors(BTreeMap<String, Arc<dyn Connector>>);

impl Connectors {
    /// No connectors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; an earlier one of that name is replaced.
    #[must_use]
    pub fn with(mut self, name: &str, connector: Arc<dyn Connector>) -> Self {
        self.0.insert(name.to_owned(), connector);
        self
    }

    /// The connector a table names.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the names there are.
    pub fn of(&self, table: &TableDef) -> Result<&Arc<dyn Connector>> {
        let name = table.connector()?;
        self.0.get(name).ok_or_else(|| {
            let known = self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            Error::NotFound(format!("table {}: no connector '{name}'; there are: {known}", table.name))
        })
    }
}

/// What one sink did in an epoch.
#[derive(Clone, Debug)]
pub struct SinkEpoch {
    /// Name of the job (program).
    pub job: String,
    /// Name of the sink table in the program.
    pub table: String,
    /// Options of the sink table, to find the real one.
    pub options: BTreeMap<String, String>,
    /// Windows that end at or before this instant (ns since 1970, UTC) are complete in the sink;
    /// `i64::MIN` before the first watermark, `i64::MAX` after the end of a bounded source.
    pub watermark_ns: i64,
    /// Windows that a late row belongs to and can no longer reach, without repetition: columns
    /// `window_start`, `window_end` (TIMESTAMP ns), then each group key that the sink keeps, under the
    /// sink's column name. `None` when there are none. The row itself is not in the sink's windows.
    pub dirty: Option<RecordBatch>,
    /// Rows so far that came too late for at least one of their windows.
    pub late_rows: u64,
    /// What [`Sink::stage`] returned.
    pub staged: serde_json::Value,
}

/// One decided epoch.
#[derive(Clone, Debug)]
pub struct EpochSummary {
    /// Number of the epoch; grows, with gaps.
    pub epoch: u64,
    /// What every sink did.
    pub sinks: Vec<SinkEpoch>,
    /// Position of every source partition.
    pub sources: Vec<SourceOffset>,
    /// Told again after a restart (the newest one only).
    pub replayed: bool,
}

/// How far a job has read a partition of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceOffset {
    /// Name of the job.
    pub job: String,
    /// Name of the source table in the program.
    pub table: String,
    /// Partition.
    pub partition: usize,
    /// Where the next row will be read; `None` when nothing was read yet.
    pub offset: Option<u64>,
    /// Watermark of the partition (ns since 1970, UTC).
    pub watermark_ns: i64,
}

/// Is told of every decided epoch, before its sinks commit.
#[async_trait]
pub trait EpochObserver: Send + Sync {
    /// The checkpoint of this epoch is durable. Called in order of epochs; after a restart called once more
    /// with the newest one (`replayed`). Must be idempotent by epoch.
    ///
    /// # Errors
    /// A failure ends the pipeline; the epoch is told again on restart.
    async fn decided(&self, epoch: &EpochSummary) -> Result<()>;

    /// Every sink has committed this epoch; the next is not decided before this returns.
    ///
    /// # Errors
    /// A failure ends the pipeline; the epoch is told again on restart.
    async fn committed(&self, _epoch: &EpochSummary) -> Result<()> {
        Ok(())
    }
}
