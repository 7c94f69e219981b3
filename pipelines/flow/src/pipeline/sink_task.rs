//! Writes what arrives, stages at each barrier, commits when told.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use tokio::sync::mpsc;

use super::graph::NodeCounters;
use super::messages::{Ack, SinkCommand, gone};
use crate::debezium::envelopes;
use crate::exchange::{Event, Inbox};
use crate::{Result, Sink};

/// Everything a sink task needs.
pub(crate) struct SinkTask {
    pub(crate) job: usize,
    pub(crate) sink: usize,
    pub(crate) writer: Box<dyn Sink>,
    pub(crate) schema: SchemaRef,
    /// Schema of the envelopes, when rows arrive as changes.
    pub(crate) envelopes: Option<SchemaRef>,
    pub(crate) inbox: Inbox,
    pub(crate) watermark_ns: i64,
    pub(crate) counters: Arc<NodeCounters>,
    pub(crate) commands: mpsc::Receiver<SinkCommand>,
    pub(crate) acks: mpsc::Sender<Ack>,
}

impl SinkTask {
    /// Runs until its inputs or the coordinator go away.
    pub(crate) async fn run(mut self) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                command = self.commands.recv() => {
                    let Some(SinkCommand::Commit { epoch, staged, reply }) = command else { return Ok(()) };
                    self.writer.commit(epoch, &staged).await?;
                    gone(reply.send(()))?;
                }
                event = self.inbox.next() => match event {
                    Event::Batch(_, batch) => {
                        let rows = batch.num_rows();
                        self.counters.came(rows);
                        // Here a NULL in a NOT NULL column comes to light.
                        let columns = batch.columns()[..self.schema.fields().len()].to_vec();
                        let plain = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
                        let written = match &self.envelopes {
                            Some(schema) => envelopes(&batch, schema)?,
                            None => plain,
                        };
                        self.writer.write(written).await?;
                        self.counters.left(rows);
                    }
                    Event::Watermark(ns) => {
                        self.watermark_ns = self.watermark_ns.max(ns);
                        self.counters.is_at(0, self.watermark_ns);
                    }
                    Event::Barrier(epoch) => {
                        let staged = self.writer.stage(epoch).await?;
                        let (job, sink, watermark_ns) = (self.job, self.sink, self.watermark_ns);
                        gone(self.acks.send(Ack::Sink { job, sink, watermark_ns, staged }).await)?;
                    }
                    Event::Idle => {}
                    Event::Closed => return Ok(()),
                },
            }
        }
    }
}
