//! Reads one partition of a source for all jobs that share it: decode once, then each job's own steps.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampNanosecondType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, col, table_scan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::collect_columns;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::graph::NodeCounters;
use super::messages::{Ack, Counters, SourceCommand, gone};
use crate::exchange::{Message, Outputs};
use crate::functions::TIMESTAMP;
use crate::plan::{Step, has_call, run_steps};
use crate::program::{generated_columns, session};
use crate::{Error, Functions, Polled, Reader, Result, TableDef};

/// A source's generated columns and watermark, ready to be evaluated.
pub(crate) struct SourceExprs {
    /// Empty when there are none.
    generated: Vec<Step>,
    watermark: Option<Arc<dyn PhysicalExpr>>,
}

impl SourceExprs {
    pub(crate) fn new(table: &TableDef, functions: &Functions) -> Result<Self> {
        let context = session(functions)?;
        let state = context.state();
        let generated = if table.generated.is_empty() {
            Vec::new()
        } else {
            let scan = table_scan(Some("physical"), &table.physical, None)
                .and_then(LogicalPlanBuilder::build)
                .map_err(Error::plan(format!("table {}", table.name)))?;
            let exprs = generated_columns(&context, table, &scan)?;
            exprs.iter().try_for_each(|expr| no_call(table, expr))?;
            let exprs = exprs
                .into_iter()
                .map(|e| state.create_physical_expr(e, scan.schema()))
                .collect::<Result<_, _>>()
                .map_err(Error::plan(format!("table {}: generated columns", table.name)))?;
            vec![Step::Project(exprs, Arc::clone(&table.schema))]
        };
        let schema =
            DFSchema::try_from(table.schema.as_ref().clone()).map_err(Error::plan("a source's schema"))?;
        let watermark = match &table.watermark {
            None => None,
            Some(watermark) => {
                let fail =
                    |e| Error::plan(format!("table {}: WATERMARK FOR {}", table.name, watermark.column))(e);
                let expr = match &watermark.expr {
                    Some(sql) => state.create_logical_expr(sql, &schema).map_err(fail)?,
                    None => col(datafusion::common::Column::new_unqualified(&watermark.column)),
                };
                no_call(table, &expr)?;
                Some(state.create_physical_expr(cast(expr, TIMESTAMP), &schema).map_err(fail)?)
            }
        };
        Ok(Self { generated, watermark })
    }

    /// The columns that the watermark is computed from.
    pub(super) fn watermark_columns(&self) -> BTreeSet<usize> {
        let columns = self.watermark.iter().flat_map(collect_columns);
        columns.map(|column| column.index()).collect()
    }
}

/// What every reader of a table computes must not wait for one job's services.
fn no_call(table: &TableDef, expr: &Expr) -> Result<()> {
    if has_call(expr) {
        return Err(Error::Invalid(format!(
            "table {}: {expr} calls a function that waits; call it in the query",
            table.name
        )));
    }
    Ok(())
}

/// One job that reads this partition.
pub(crate) struct Subscriber {
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Outputs,
}

/// Everything a source task needs.
pub(crate) struct SourceTask {
    pub(crate) group: usize,
    pub(crate) partition: usize,
    pub(crate) reader: Box<dyn Reader>,
    pub(crate) exprs: Arc<SourceExprs>,
    pub(crate) subscribers: Vec<Subscriber>,
    /// The nodes of the jobs that count these rows as read.
    pub(crate) readers: Vec<Arc<NodeCounters>>,
    pub(crate) offset: Option<u64>,
    pub(crate) watermark_ns: i64,
    pub(crate) idle_timeout: Option<Duration>,
    /// Wait for a barrier after this many rows.
    pub(crate) checkpoint_rows: Option<u64>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) commands: mpsc::Receiver<SourceCommand>,
    pub(crate) acks: mpsc::Sender<Ack>,
}

impl SourceTask {
    /// Runs until the coordinator lets go of it.
    pub(crate) async fn run(mut self) -> Result<()> {
        if self.watermark_ns > i64::MIN {
            self.broadcast(&Message::Watermark(self.watermark_ns)).await?;
        }
        let mut silent_since = Instant::now();
        let mut idle = false;
        let mut rows_since = 0_u64;
        loop {
            let Some(polled) = self.poll().await? else { return Ok(()) };
            match polled {
                Polled::Rows { batch, next_offset } => {
                    (silent_since, idle) = (Instant::now(), false);
                    rows_since += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
                    self.rows(&batch).await?;
                    self.offset = Some(next_offset);
                }
                Polled::Idle => {
                    let timeout = self.idle_timeout.is_some_and(|t| silent_since.elapsed() >= t);
                    if timeout && !idle {
                        idle = true;
                        self.broadcast(&Message::Idle).await?;
                    }
                }
                Polled::End => return self.ended().await,
            }
            if self.checkpoint_rows.is_some_and(|limit| rows_since >= limit) {
                rows_since = 0;
                gone(self.acks.send(Ack::Due).await)?;
                let Some(SourceCommand::Barrier(epoch)) = self.commands.recv().await else { return Ok(()) };
                self.barrier(epoch).await?;
            }
        }
    }

    /// Waits for rows; barriers pass meanwhile. `None` when the pipeline is taken down.
    async fn poll(&mut self) -> Result<Option<Polled>> {
        let Self { reader, commands, subscribers, acks, .. } = self;
        let mut next = reader.next();
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => {
                    let Some(SourceCommand::Barrier(epoch)) = command else { return Ok(None) };
                    for subscriber in subscribers.iter() {
                        subscriber.outputs.broadcast(&Message::Barrier(epoch)).await?;
                    }
                    let ack = Ack::Source {
                        group: self.group,
                        partition: self.partition,
                        offset: self.offset,
                        watermark_ns: self.watermark_ns,
                    };
                    gone(acks.send(ack).await)?;
                }
                polled = &mut next => return polled.map(Some),
            }
        }
    }

    async fn rows(&mut self, batch: &RecordBatch) -> Result<()> {
        let exprs = Arc::clone(&self.exprs);
        let Some(full) = run_steps(&exprs.generated, batch).await? else { return Ok(()) };
        for job in &self.readers {
            job.came(batch.num_rows());
        }
        self.counters.activity.fetch_add(1, Ordering::Relaxed);
        for subscriber in &self.subscribers {
            if let Some(batch) = run_steps(&subscriber.steps, &full).await? {
                subscriber.outputs.send(batch).await?;
            }
        }
        if let Some(expr) = &exprs.watermark {
            let seen = expr.evaluate(&full)?.into_array(full.num_rows())?;
            let latest = arrow::compute::max(seen.as_primitive::<TimestampNanosecondType>());
            if let Some(ns) = latest.filter(|ns| *ns > self.watermark_ns) {
                self.watermark_ns = ns;
                self.broadcast(&Message::Watermark(ns)).await?;
            }
        }
        Ok(())
    }

    /// A bounded source is at its end: so is its time. Barriers still pass.
    async fn ended(&mut self) -> Result<()> {
        self.watermark_ns = i64::MAX;
        self.counters.activity.fetch_add(1, Ordering::Relaxed);
        self.broadcast(&Message::Watermark(i64::MAX)).await?;
        gone(self.acks.send(Ack::Ended).await)?;
        while let Some(SourceCommand::Barrier(epoch)) = self.commands.recv().await {
            self.barrier(epoch).await?;
        }
        Ok(())
    }

    async fn barrier(&mut self, epoch: u64) -> Result<()> {
        self.broadcast(&Message::Barrier(epoch)).await?;
        let ack = Ack::Source {
            group: self.group,
            partition: self.partition,
            offset: self.offset,
            watermark_ns: self.watermark_ns,
        };
        gone(self.acks.send(ack).await)
    }

    async fn broadcast(&mut self, message: &Message) -> Result<()> {
        if let Message::Watermark(ns) = message {
            self.readers.iter().for_each(|reader| reader.is_at(self.partition, *ns));
        }
        for subscriber in &self.subscribers {
            subscriber.outputs.broadcast(message).await?;
        }
        Ok(())
    }
}
