//! Keeps the windows of one share of the keys.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tokio::sync::mpsc;

use super::messages::{Ack, JobCounters, WantFull, gone};
use crate::Result;
use crate::aggregate::Panes;
use crate::exchange::{Event, Inbox, Message, Outputs};
use crate::plan::{Step, run_steps};

/// Everything a stage task needs.
pub(crate) struct StageTask {
    pub(crate) job: usize,
    pub(crate) stage: usize,
    pub(crate) panes: Panes,
    pub(crate) inbox: Inbox,
    pub(crate) watermark_ns: i64,
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Outputs,
    pub(crate) batch_rows: usize,
    pub(crate) want_full: Arc<WantFull>,
    pub(crate) counters: Arc<JobCounters>,
    pub(crate) acks: mpsc::Sender<Ack>,
}

impl StageTask {
    /// Runs until its inputs go away.
    pub(crate) async fn run(mut self) -> Result<()> {
        if self.watermark_ns > i64::MIN {
            self.outputs.broadcast(&Message::Watermark(self.watermark_ns)).await?;
        }
        let mut late_before = self.panes.late_rows();
        loop {
            match self.inbox.next().await {
                Event::Batch(batch) => {
                    self.panes.update(&batch)?;
                    let late = self.panes.late_rows();
                    if late > late_before {
                        let more = late - late_before;
                        self.counters.late_rows.fetch_add(more, std::sync::atomic::Ordering::Relaxed);
                        late_before = late;
                    }
                }
                Event::Watermark(ns) if ns > self.watermark_ns => {
                    self.watermark_ns = ns;
                    for batch in self.panes.advance(ns)? {
                        self.send(&batch).await?;
                    }
                    self.outputs.broadcast(&Message::Watermark(ns)).await?;
                }
                Event::Watermark(_) => {}
                Event::Barrier(epoch) => {
                    let snapshot = self.panes.snapshot(self.want_full.get())?;
                    let ack = Ack::Stage {
                        job: self.job,
                        stage: self.stage,
                        watermark_ns: self.watermark_ns,
                        snapshot,
                    };
                    gone(self.acks.send(ack).await)?;
                    self.outputs.broadcast(&Message::Barrier(epoch)).await?;
                }
                Event::Closed => return Ok(()),
            }
        }
    }

    async fn send(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let part = batch.slice(from, self.batch_rows.min(batch.num_rows() - from));
            from += part.num_rows();
            if let Some(part) = run_steps(&self.steps, &part)? {
                self.outputs.send(part).await?;
            }
        }
        Ok(())
    }
}
