//! Runs one task of a stage: rows in, rows out, and a share of the checkpoint.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tokio::sync::mpsc;

use super::messages::{Ack, JobCounters, WantFull, gone};
use crate::Result;
use crate::exchange::{Event, Inbox, Message, Outputs};
use crate::operator::Operator;
use crate::plan::{Step, run_steps};

/// Everything a stage task needs.
pub(crate) struct StageTask {
    pub(crate) job: usize,
    pub(crate) stage: usize,
    pub(crate) operator: Box<dyn Operator>,
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
        let mut late_before = self.operator.late_rows();
        loop {
            match self.inbox.next().await {
                Event::Batch(input, batch) => {
                    let rows = self.operator.update(input, &batch)?;
                    self.send(&rows).await?;
                    let late = self.operator.late_rows();
                    if late > late_before {
                        let more = late - late_before;
                        self.counters.late_rows.fetch_add(more, std::sync::atomic::Ordering::Relaxed);
                        late_before = late;
                    }
                }
                Event::Watermark(ns) if ns > self.watermark_ns => {
                    while self.watermark_ns < ns {
                        self.watermark_ns = self.operator.step(ns);
                        let rows = self.operator.advance(self.watermark_ns).await?;
                        self.send(&rows).await?;
                    }
                    self.outputs.broadcast(&Message::Watermark(ns)).await?;
                }
                Event::Watermark(_) => {}
                // Whoever waits for this stage's time need not.
                Event::Idle => self.outputs.broadcast(&Message::Idle).await?,
                Event::Barrier(epoch) => {
                    let rows = self.operator.flush()?;
                    self.send(&rows).await?;
                    let snapshot = self.operator.snapshot(self.want_full.get())?;
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

    async fn send(&mut self, batches: &[RecordBatch]) -> Result<()> {
        for batch in batches {
            let mut from = 0;
            while from < batch.num_rows() {
                let part = batch.slice(from, self.batch_rows.min(batch.num_rows() - from));
                from += part.num_rows();
                if let Some(part) = run_steps(&self.steps, &part).await? {
                    self.outputs.send(part).await?;
                }
            }
        }
        Ok(())
    }
}
