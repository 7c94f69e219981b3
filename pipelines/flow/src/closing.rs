//! Joins and window functions over the rows of windows that close: rows wait by window; when time passes its end,
//! a DataFusion plan runs over them, the same that a batch would run.
//!
//! The layout of an input holds the window's start and end, the keys, then the columns that the plan reads.
//! Rows whose window is closed already are late: they are left out, and their window and keys are marked dirty.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{SchemaRef, TimestampNanosecondType};
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, collect};

use crate::aggregate::{distinct_rows, split};
use crate::operator::{Begin, Operator, OperatorSpec, Snapshot};
use crate::{Error, Result};

/// Columns before the keys: window start and end.
const PREFIX: usize = 2;

/// What one stage computes.
pub(crate) struct ClosingSpec {
    /// The plan, over one scan an input.
    pub(crate) body: LogicalPlan,
    pub(crate) state: SessionState,
    pub(crate) inputs: Vec<ClosingInput>,
    /// Window start and end, then the keys: what is told of late rows.
    pub(crate) dirty_schema: SchemaRef,
    pub(crate) output: SchemaRef,
}

/// One input of the stage.
#[derive(Clone, Debug)]
pub(crate) struct ClosingInput {
    /// Name of its scan in the plan, and what that scan gives.
    pub(crate) scan: String,
    pub(crate) scanned: SchemaRef,
    pub(crate) layout: SchemaRef,
    pub(crate) keys: usize,
}

impl std::fmt::Debug for ClosingSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClosingSpec").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

impl OperatorSpec for ClosingSpec {
    fn start(self: Arc<Self>, begin: Begin) -> Result<Box<dyn Operator>> {
        let feeds = self
            .inputs
            .iter()
            .map(|i| Arc::new(Feed { schema: Arc::clone(&i.scanned), rows: Mutex::default() }));
        Ok(Box::new(Closing {
            windows: BTreeMap::new(),
            watermark_ns: begin.watermark_ns,
            feeds: feeds.collect(),
            plan: None,
            fresh: Vec::new(),
            dirty: Vec::new(),
            late_rows: begin.late_rows,
            spec: self,
        }))
    }

    fn input_keys(&self, input: usize) -> Range<usize> {
        PREFIX..PREFIX + self.inputs[input].keys
    }

    fn state_keys(&self, table: usize) -> Range<usize> {
        self.input_keys(table)
    }
}

/// Rows of one window, by input.
type Waiting = Vec<Vec<RecordBatch>>;

/// One task of the stage.
struct Closing {
    spec: Arc<ClosingSpec>,
    /// By (end, start).
    windows: BTreeMap<(i64, i64), Waiting>,
    watermark_ns: i64,
    feeds: Vec<Arc<Feed>>,
    /// Made when the first window closes.
    plan: Option<Arc<dyn ExecutionPlan>>,
    /// (window, input, rows) since the last snapshot.
    fresh: Vec<((i64, i64), usize, RecordBatch)>,
    dirty: Vec<RecordBatch>,
    late_rows: u64,
}

impl Closing {
    fn note_late(&mut self, (end, start): (i64, i64), input: usize, rows: &RecordBatch) -> Result<()> {
        self.late_rows += u64::try_from(rows.num_rows()).unwrap_or(u64::MAX);
        let keys = self.spec.input_keys(input);
        let keys = rows.columns()[keys].to_vec();
        let bound = |ns| -> ArrayRef { Arc::new(TimestampNanosecondArray::from_value(ns, rows.num_rows())) };
        let columns = [bound(start), bound(end)].into_iter().chain(keys).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.spec.dirty_schema), columns)?;
        self.dirty.push(distinct_rows(&batch)?);
        Ok(())
    }

    fn add(&mut self, input: usize, batch: &RecordBatch) -> Result<Vec<((i64, i64), RecordBatch)>> {
        let of = |column: usize| batch.column(column).as_primitive::<TimestampNanosecondType>().values();
        let windows = of(0).iter().copied().zip(of(1).iter().copied()).collect::<Vec<_>>();
        let mut open = Vec::new();
        for ((start, end), part) in split(batch, &windows)? {
            if end <= self.watermark_ns {
                self.note_late((end, start), input, &part)?;
                continue;
            }
            let inputs = self.spec.inputs.len();
            let waiting = self.windows.entry((end, start)).or_insert_with(|| vec![Vec::new(); inputs]);
            waiting[input].push(part.clone());
            open.push(((end, start), part));
        }
        Ok(open)
    }

    /// The plan with the feeds in place of its scans.
    async fn plan(&mut self) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(plan) = &self.plan {
            return Ok(Arc::clone(plan));
        }
        let body = fed(&self.spec, &self.feeds)?;
        let plan = self.spec.state.create_physical_plan(&body).await;
        let plan = plan.map_err(Error::plan("planning what a closed window computes"))?;
        self.plan = Some(Arc::clone(&plan));
        Ok(plan)
    }
}

fn fed(spec: &ClosingSpec, feeds: &[Arc<Feed>]) -> Result<LogicalPlan> {
    let place = |node: LogicalPlan| {
        if let LogicalPlan::TableScan(scan) = &node
            && let Some(at) = spec.inputs.iter().position(|i| i.scan == scan.table_name.table())
        {
            let feed = Arc::clone(&feeds[at]) as Arc<dyn PartitionStream>;
            let table = StreamingTable::try_new(Arc::clone(&spec.inputs[at].scanned), vec![feed])?;
            let mut scan = scan.clone();
            scan.source = provider_as_source(Arc::new(table));
            return Ok(Transformed::yes(LogicalPlan::TableScan(scan)));
        }
        Ok(Transformed::no(node))
    };
    let body = spec.body.clone().transform_up(place);
    body.map(|t| t.data).map_err(Error::plan("planning what a closed window computes"))
}

#[async_trait]
impl Operator for Closing {
    fn update(&mut self, input: usize, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        for (window, part) in self.add(input, batch)? {
            self.fresh.push((window, input, part));
        }
        Ok(Vec::new())
    }

    async fn advance(&mut self, watermark_ns: i64) -> Result<Vec<RecordBatch>> {
        if watermark_ns <= self.watermark_ns {
            return Ok(Vec::new());
        }
        self.watermark_ns = watermark_ns;
        let mut closed: Waiting = vec![Vec::new(); self.spec.inputs.len()];
        while let Some(entry) = self.windows.first_entry().filter(|e| e.key().0 <= watermark_ns) {
            for (all, rows) in closed.iter_mut().zip(entry.remove()) {
                all.extend(rows);
            }
        }
        if closed.iter().all(Vec::is_empty) {
            return Ok(Vec::new());
        }
        for ((input, feed), rows) in self.spec.inputs.iter().zip(&self.feeds).zip(closed) {
            let scanned = |batch: RecordBatch| {
                let columns = batch.columns()[PREFIX + input.keys..].to_vec();
                RecordBatch::try_new(Arc::clone(&input.scanned), columns)
            };
            feed.fill(rows.into_iter().map(scanned).collect::<Result<_, _>>()?);
        }
        let plan = reset_plan_states(self.plan().await?)?;
        let rows = collect(plan, self.spec.state.task_ctx()).await?;
        let typed = |batch: RecordBatch| {
            Ok(RecordBatch::try_new(Arc::clone(&self.spec.output), batch.columns().to_vec())?)
        };
        rows.into_iter().filter(|b| b.num_rows() > 0).map(typed).collect()
    }

    fn late_rows(&self) -> u64 {
        self.late_rows
    }

    fn snapshot(&mut self, full: bool) -> Result<Snapshot> {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.retain(|(window, ..)| window.0 > self.watermark_ns);
        let mut parts = fresh.into_iter().map(|(_, input, rows)| (input, rows)).collect::<Vec<_>>();
        let held = self.windows.values().flat_map(|inputs| inputs.iter().enumerate());
        let held = held.flat_map(|(input, rows)| rows.iter().map(move |b| (input, b)));
        let rows = held.clone().map(|(_, batch)| batch.num_rows()).sum();
        if full {
            parts = held.map(|(input, batch)| (input, batch.clone())).collect();
        }
        let dirty = std::mem::take(&mut self.dirty);
        let dirty = match dirty.is_empty() {
            true => None,
            false => Some(distinct_rows(&concat_batches(&self.spec.dirty_schema, &dirty)?)?),
        };
        Ok(Snapshot { parts, whole: full, rows, dirty, late_rows: self.late_rows })
    }

    /// Rows of windows that are closed are dropped: they were written.
    fn restore(&mut self, table: usize, state: &RecordBatch) -> Result<()> {
        let layout = Arc::clone(&self.spec.inputs[table].layout);
        let state = RecordBatch::try_new(layout, state.columns().to_vec())?;
        let ends = state.column(1).as_primitive::<TimestampNanosecondType>();
        let open = ends.values().iter().map(|&end| Some(end > self.watermark_ns));
        let open = arrow::compute::filter_record_batch(&state, &open.collect())?;
        self.add(table, &open).map(|_| ())
    }
}

/// The rows that a scan of the plan gives when it runs.
#[derive(Debug)]
struct Feed {
    schema: SchemaRef,
    rows: Mutex<Vec<RecordBatch>>,
}

impl Feed {
    fn fill(&self, rows: Vec<RecordBatch>) {
        *self.rows.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }
}

impl PartitionStream for Feed {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        match MemoryStream::try_new(rows, Arc::clone(&self.schema), None) {
            Ok(stream) => Box::pin(stream),
            Err(error) => {
                let failed = futures::stream::once(std::future::ready(Err(error)));
                Box::pin(datafusion::physical_plan::stream::RecordBatchStreamAdapter::new(
                    Arc::clone(&self.schema),
                    failed,
                ))
            }
        }
    }
}
