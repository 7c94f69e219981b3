//! What a stage of a job runs: keyed state that rows change, time closes, and a checkpoint keeps.
//!
//! An [`OperatorSpec`] is the plan of a stage, an [`Operator`] one task of it with its share of the keys. State
//! leaves and enters as batches with the keys in fixed columns, so that any other number of tasks can share it.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use crave_schemas::Clock;

use crate::Result;
use crate::pipeline::KeyIs;

/// What a checkpoint takes from a task.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// State changed since the last snapshot (or all of it when a full one was asked for), each part with the
    /// number of the state table that it belongs to.
    pub(crate) parts: Vec<(usize, RecordBatch)>,
    /// The parts are all there is, also when only changes were asked for.
    pub(crate) whole: bool,
    /// Rows of state held now.
    pub(crate) rows: usize,
    /// Distinct late keys since the last snapshot: window start and end, then the stage's keys.
    pub(crate) dirty: Option<RecordBatch>,
    /// Rows that came too late for a window, since the start.
    pub(crate) late_rows: u64,
}

/// How a task begins.
#[derive(Clone, Debug)]
pub(crate) struct Begin {
    pub(crate) watermark_ns: i64,
    pub(crate) late_rows: u64,
    pub(crate) clock: Arc<dyn Clock>,
}

/// One task of a stage. Calls never overlap.
#[async_trait]
pub(crate) trait Operator: Send {
    /// Adds rows of one input, in the layout of the stage; gives what can leave at once.
    fn update(&mut self, input: usize, batch: &RecordBatch) -> Result<Vec<RecordBatch>>;

    /// Where to stop on the way to `watermark_ns`, later than now: not all that closes need be in memory at once.
    fn step(&self, watermark_ns: i64) -> i64 {
        watermark_ns
    }

    /// Moves time forward and gives the rows of everything that closes.
    async fn advance(&mut self, watermark_ns: i64) -> Result<Vec<RecordBatch>>;

    /// Puts what came since the last snapshot where [`Self::peek`] sees it, as a snapshot would.
    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    /// What the open windows would give if they closed now, in the layout of the output. Asked after [`Self::settle`],
    /// and only where [`OperatorSpec::can_be_looked_at`].
    fn peek(&self, _only: Option<&KeyIs>) -> Result<Vec<RecordBatch>> {
        Ok(Vec::new())
    }

    /// What must leave before a barrier.
    fn flush(&mut self) -> Result<Vec<RecordBatch>> {
        Ok(Vec::new())
    }

    /// Rows that came too late for a window, since the start.
    fn late_rows(&self) -> u64 {
        0
    }

    /// Takes what changed since the last snapshot (`full`: everything).
    fn snapshot(&mut self, full: bool) -> Result<Snapshot>;

    /// Puts back a part of a state table; parts come in the order in which they were taken.
    fn restore(&mut self, table: usize, state: &RecordBatch) -> Result<()>;
}

/// The plan of a stage.
pub(crate) trait OperatorSpec: Debug + Send + Sync {
    /// A task without state.
    fn start(self: Arc<Self>, begin: Begin) -> Result<Box<dyn Operator>>;

    /// Whether [`Operator::peek`] gives what its open windows hold.
    fn can_be_looked_at(&self) -> bool {
        false
    }

    /// The columns of an input's layout that decide which task gets a row.
    fn input_keys(&self, input: usize) -> Range<usize>;

    /// The columns of a state table that decide which task gets a row: the same keys.
    fn state_keys(&self, table: usize) -> Range<usize>;
}
