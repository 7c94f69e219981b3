//! What the coordinator and its tasks tell each other.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use tokio::sync::oneshot;

use crate::operator::Snapshot;
use crate::{Error, Result};

/// To a source task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SourceCommand {
    /// Send the barrier of this epoch and tell the position.
    Barrier(u64),
}

/// To a sink task.
#[derive(Debug)]
pub(crate) enum SinkCommand {
    Commit { epoch: u64, staged: serde_json::Value, reply: oneshot::Sender<()> },
}

/// To the coordinator.
#[derive(Debug)]
pub(crate) enum Ack {
    /// A source partition is at the barrier.
    Source { group: usize, partition: usize, offset: Option<u64>, watermark_ns: i64 },
    /// A stage task is at the barrier.
    Stage { job: usize, stage: usize, watermark_ns: i64, snapshot: Snapshot },
    /// A sink has staged.
    Sink { job: usize, sink: usize, watermark_ns: i64, staged: serde_json::Value },
    /// A bounded source partition is read to its end.
    Ended,
    /// A source partition has read its share of rows and waits for a barrier.
    Due,
}

/// Counters of a job, shared with whoever asks.
#[derive(Debug)]
pub(crate) struct JobCounters {
    pub(crate) rows_in: AtomicU64,
    pub(crate) rows_out: AtomicU64,
    pub(crate) late_rows: AtomicU64,
    pub(crate) watermark_ns: AtomicI64,
    pub(crate) state_rows: AtomicU64,
    pub(crate) state_bytes: AtomicU64,
}

impl Default for JobCounters {
    fn default() -> Self {
        Self {
            rows_in: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            late_rows: AtomicU64::new(0),
            watermark_ns: AtomicI64::new(i64::MIN),
            state_rows: AtomicU64::new(0),
            state_bytes: AtomicU64::new(0),
        }
    }
}

/// Counters of the pipeline.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) epoch: AtomicU64,
    /// Grows with everything that a checkpoint would have to keep.
    pub(crate) activity: AtomicU64,
}

/// Whether a stage writes all of its state at the next barrier.
#[derive(Debug, Default)]
pub(crate) struct WantFull(AtomicBool);

impl WantFull {
    pub(crate) fn set(&self, full: bool) {
        self.0.store(full, Ordering::SeqCst);
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

pub(crate) fn add(counter: &AtomicU64, rows: usize) {
    counter.fetch_add(u64::try_from(rows).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// The failure of a task whose coordinator is gone.
pub(crate) fn gone<T, E>(result: std::result::Result<T, E>) -> Result<T> {
    result.map_err(|_| Error::Internal("the coordinator is gone".into()))
}
