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

/// Counters of the pipeline.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) epoch: AtomicU64,
    /// When the last checkpoint of this process was complete (ms since 1970, UTC); 0 before the first.
    pub(crate) checkpoint_at_ms: AtomicI64,
    /// How long it took.
    pub(crate) checkpoint_took_ms: AtomicU64,
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

/// The failure of a task whose coordinator is gone.
pub(crate) fn gone<T, E>(result: std::result::Result<T, E>) -> Result<T> {
    result.map_err(|_| Error::Internal("the coordinator is gone".into()))
}
