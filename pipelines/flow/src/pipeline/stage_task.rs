//! Runs one task of a stage: rows in, rows out, and a share of the checkpoint.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tokio::sync::mpsc;

use super::graph::NodeCounters;
use super::live::Peek;
use super::messages::{Ack, WantFull, gone};
use crate::Result;
use crate::exchange::{Event, Inbox, Message, Outputs};
use crate::operator::Operator;
use crate::plan::{Step, run_steps};

/// Everything a stage task needs.
pub(crate) struct StageTask {
    pub(crate) job: usize,
    pub(crate) stage: usize,
    /// Its number among the tasks of the stage.
    pub(crate) task: usize,
    pub(crate) operator: Box<dyn Operator>,
    pub(crate) inbox: Inbox,
    pub(crate) watermark_ns: i64,
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Outputs,
    pub(crate) batch_rows: usize,
    pub(crate) want_full: Arc<WantFull>,
    pub(crate) counters: Arc<NodeCounters>,
    pub(crate) acks: mpsc::Sender<Ack>,
    /// Who wants to look at the state.
    pub(crate) peeks: mpsc::Receiver<Peek>,
}

impl StageTask {
    /// Runs until its inputs go away.
    pub(crate) async fn run(mut self) -> Result<()> {
        self.counters.is_at(self.task, self.watermark_ns);
        if self.watermark_ns > i64::MIN {
            self.outputs.broadcast(&Message::Watermark(self.watermark_ns)).await?;
        }
        let mut late_before = self.operator.late_rows();
        loop {
            let event = tokio::select! {
                biased;
                Some(Peek { only, reply }) = self.peeks.recv() => {
                    self.operator.settle()?;
                    // A failure from here on is the asker's, who may have gone: the state is as it was.
                    let rows = self.operator.peek(only.as_ref());
                    let _ = reply.send(through(&self.steps, rows).await);
                    continue;
                }
                event = self.inbox.next() => event,
            };
            match event {
                Event::Batch(input, batch) => {
                    self.counters.came(batch.num_rows());
                    let rows = self.operator.update(input, &batch)?;
                    self.send(&rows).await?;
                    let late = self.operator.late_rows();
                    if late > late_before {
                        self.counters.late(late - late_before);
                        late_before = late;
                    }
                }
                Event::Watermark(ns) if ns > self.watermark_ns => {
                    while self.watermark_ns < ns {
                        self.watermark_ns = self.operator.step(ns);
                        let rows = self.operator.advance(self.watermark_ns).await?;
                        self.send(&rows).await?;
                    }
                    self.counters.is_at(self.task, ns);
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

/// What is left of rows behind the steps.
async fn through(steps: &[Step], rows: Result<Vec<RecordBatch>>) -> Result<Vec<RecordBatch>> {
    let mut left = Vec::new();
    for batch in rows? {
        left.extend(run_steps(steps, &batch).await?);
    }
    Ok(left)
}
