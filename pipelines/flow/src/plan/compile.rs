//! Cuts an optimised logical plan into branches and stages, with physical expressions in place.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::execution::context::SessionState;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::physical_expr::PhysicalExpr;

use super::lineage::window_aggregate;
use super::node::{WindowAggregate, Windows};
use crate::aggregate::{AggregateCall, AggregateSpec, SpecWindows};
use crate::functions::TIMESTAMP;
use crate::{Error, Result, TableDef, WindowKind};

/// One thing done to a batch on its way.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Keep these columns.
    Select(Vec<usize>),
    /// Keep the rows for which it is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// Compute these columns.
    Project(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
}

/// Where a branch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BranchOrigin {
    /// Index into [`JobPlan::sources`].
    Source(usize),
    /// Index into [`JobPlan::stages`].
    Stage(usize),
}

/// A straight piece of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) origin: BranchOrigin,
    pub(crate) steps: Vec<Step>,
}

/// One keyed windowed aggregate.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) spec: Arc<AggregateSpec>,
    pub(crate) inputs: Vec<Branch>,
    /// Index into [`JobPlan::sinks`].
    pub(crate) sink: usize,
}

/// What one sink gets.
#[derive(Debug)]
pub(crate) struct SinkPlan {
    pub(crate) table: TableDef,
    pub(crate) inputs: Vec<Branch>,
    /// Group keys of the innermost aggregate that the sink keeps: (key, sink column).
    pub(crate) keys: Vec<(usize, usize)>,
    /// The windows of the innermost aggregate.
    pub(crate) windows: Option<WindowKind>,
}

/// Everything one program runs.
#[derive(Debug)]
pub(crate) struct JobPlan {
    pub(crate) sources: Vec<TableDef>,
    /// A stage comes after those it reads from.
    pub(crate) stages: Vec<Stage>,
    pub(crate) sinks: Vec<SinkPlan>,
}

/// Adds the branches of `plan`, an optimised query for sink number `sink`, to `job`.
pub(crate) fn compile_job(
    program: &str,
    state: &SessionState,
    plan: &LogicalPlan,
    sink: usize,
    job: &mut JobPlan,
) -> Result<Vec<Branch>> {
    Compiler { program, state, sink, job }.branches(plan)
}

struct Compiler<'a> {
    program: &'a str,
    state: &'a SessionState,
    sink: usize,
    job: &'a mut JobPlan,
}

impl Compiler<'_> {
    fn branches(&mut self, plan: &LogicalPlan) -> Result<Vec<Branch>> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let name = scan.table_name.table();
                let source = self.job.sources.iter().position(|s| s.name == name).ok_or_else(|| {
                    Error::NotFound(format!("{}: {name} is not a source of this program", self.program))
                })?;
                if scan.fetch.is_some() {
                    return Err(Error::Internal("a limit reached a scan".into()));
                }
                let mut steps = Vec::new();
                if let Some(columns) = &scan.projection {
                    steps.push(Step::Select(columns.clone()));
                }
                for filter in &scan.filters {
                    steps.push(Step::Filter(self.physical(filter, &scan.projected_schema)?));
                }
                Ok(vec![Branch { origin: BranchOrigin::Source(source), steps }])
            }
            LogicalPlan::SubqueryAlias(alias) => self.branches(&alias.input),
            LogicalPlan::Filter(filter) => {
                let step = Step::Filter(self.physical(&filter.predicate, filter.input.schema())?);
                Ok(appended(self.branches(&filter.input)?, &step))
            }
            LogicalPlan::Projection(p) => {
                let step = self.project(&p.expr, p.input.schema(), p.schema.inner())?;
                Ok(appended(self.branches(&p.input)?, &step))
            }
            LogicalPlan::Union(union) => {
                let mut all = Vec::new();
                for input in &union.inputs {
                    all.extend(self.branches(input)?);
                }
                Ok(all)
            }
            other => match window_aggregate(other) {
                Some(node) => self.stage(node),
                None => Err(Error::Unsupported {
                    program: self.program.to_owned(),
                    reason: format!("the plan holds {}, which is not supported in a stream", other.display()),
                    instead: "use projection, filter, UNION ALL, tumble and hop".into(),
                }),
            },
        }
    }

    fn stage(&mut self, node: &WindowAggregate) -> Result<Vec<Branch>> {
        let inputs = self.branches(&node.input)?;
        let schema = node.input.schema();
        let (windows, mut layout) = match &node.windows {
            Windows::Of { kind, time } => {
                let typed = time.get_type(schema).map_err(Error::plan("typing the event time"))?;
                let time = if typed == TIMESTAMP { time.clone() } else { cast(time.clone(), TIMESTAMP) };
                (SpecWindows::Of(*kind), vec![time])
            }
            Windows::Inherited { window } => (
                SpecWindows::Inherited,
                vec![get_field(window.clone(), "start"), get_field(window.clone(), "end")],
            ),
        };
        layout.extend(node.keys.iter().cloned());
        let mut layout = layout.iter().map(|e| self.physical(e, schema)).collect::<Result<Vec<_>>>()?;
        let mut calls = Vec::with_capacity(node.aggregates.len());
        for expr in &node.aggregates {
            calls.push(AggregateCall::lower(self.program, expr, schema, self.state, &mut layout)?);
        }
        let mut fields = Vec::with_capacity(layout.len());
        for (i, expr) in layout.iter().enumerate() {
            let field = expr.return_field(schema.inner()).map_err(Error::plan("typing a group key"))?;
            fields.push(field.as_ref().clone().with_name(format!("c{i}")).with_nullable(true));
        }
        let layout_schema = Arc::new(Schema::new(fields));
        let spec = AggregateSpec::new(
            windows,
            node.window_at,
            node.keys.len(),
            calls,
            &layout_schema,
            Arc::clone(node.schema.inner()),
        )?;
        let inputs = appended(inputs, &Step::Project(layout, layout_schema));
        self.job.stages.push(Stage { spec: Arc::new(spec), inputs, sink: self.sink });
        let origin = BranchOrigin::Stage(self.job.stages.len() - 1);
        Ok(vec![Branch { origin, steps: Vec::new() }])
    }

    fn project(&self, exprs: &[Expr], schema: &DFSchema, out: &SchemaRef) -> Result<Step> {
        let exprs = exprs.iter().map(|e| self.physical(e, schema)).collect::<Result<_>>()?;
        Ok(Step::Project(exprs, Arc::clone(out)))
    }

    fn physical(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        self.state
            .create_physical_expr(expr.clone(), schema)
            .map_err(Error::plan(format!("{}: compiling {expr}", self.program)))
    }
}

fn appended(mut branches: Vec<Branch>, step: &Step) -> Vec<Branch> {
    for branch in &mut branches {
        branch.steps.push(step.clone());
    }
    branches
}

/// Takes a batch through the steps of a branch; `None` when no row is left.
pub(crate) fn run_steps(steps: &[Step], batch: &RecordBatch) -> Result<Option<RecordBatch>> {
    let mut batch = batch.clone();
    for step in steps {
        batch = match step {
            Step::Select(columns) => batch.project(columns)?,
            Step::Filter(predicate) => {
                let keep = predicate.evaluate(&batch)?.into_array(batch.num_rows())?;
                filter_record_batch(&batch, keep.as_boolean())?
            }
            Step::Project(exprs, schema) => {
                let rows = batch.num_rows();
                let mut columns = Vec::with_capacity(exprs.len());
                for expr in exprs {
                    columns.push(expr.evaluate(&batch)?.into_array(rows)?);
                }
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?
            }
        };
        if batch.num_rows() == 0 {
            return Ok(None);
        }
    }
    Ok(Some(batch))
}
