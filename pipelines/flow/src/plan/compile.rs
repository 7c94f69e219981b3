//! Cuts an optimised logical plan into branches and stages, with physical expressions in place.

mod stage;

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use super::called::called;
use super::lineage::{keyed_aggregate, per_window};
use super::step::Step;
use crate::debezium::{CHANGE, change_field};
use crate::operator::OperatorSpec;
use crate::{Error, Result, TableDef, WindowKind};

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
    /// Its rows come and go: their change is a last column that the plan does not know.
    pub(crate) changes: bool,
}

/// What a stage computes, for people.
#[derive(Clone, Debug)]
pub(crate) struct Title {
    /// In a few words.
    pub(crate) name: String,
    /// Its keys and expressions.
    pub(crate) detail: String,
}

/// One operator with keyed state.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) title: Title,
    pub(crate) spec: Arc<dyn OperatorSpec>,
    /// Number of its node; late keys are told by it.
    pub(crate) id: usize,
    /// By input.
    pub(crate) inputs: Vec<Vec<Branch>>,
    /// Index into [`JobPlan::sinks`].
    pub(crate) sink: usize,
    /// What late keys are in the sink's terms; set once the whole program is known.
    pub(crate) late: LateKeys,
}

/// How a stage's late windows and keys are told to the sink.
#[derive(Clone, Debug, Default)]
pub(crate) struct LateKeys {
    /// (key, sink column).
    pub(crate) columns: Vec<(usize, usize)>,
    /// The windows that a window falls into on its way, one after the other.
    pub(crate) outer: Vec<WindowKind>,
}

/// What one sink gets.
#[derive(Debug)]
pub(crate) struct SinkPlan {
    pub(crate) table: TableDef,
    pub(crate) inputs: Vec<Branch>,
    /// Whether it is given changes, to be written as Debezium does.
    pub(crate) changes: bool,
}

/// Everything one program runs.
#[derive(Debug)]
pub(crate) struct JobPlan {
    pub(crate) sources: Vec<TableDef>,
    /// A stage comes after those it reads from.
    pub(crate) stages: Vec<Stage>,
    pub(crate) sinks: Vec<SinkPlan>,
    pub(crate) updating_ttl_ns: i64,
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
                Ok(vec![Branch { origin: BranchOrigin::Source(source), steps, changes: false }])
            }
            LogicalPlan::SubqueryAlias(alias) => self.branches(&alias.input),
            LogicalPlan::Filter(filter) => {
                let step = Step::Filter(self.physical(&filter.predicate, filter.input.schema())?);
                let mut branches = self.branches(&filter.input)?;
                branches.iter_mut().for_each(|b| b.steps.push(step.clone()));
                Ok(branches)
            }
            LogicalPlan::Projection(p) => {
                let exprs = p.expr.iter().map(|e| self.physical(e, p.input.schema()));
                let exprs = exprs.collect::<Result<Vec<_>>>()?;
                let width = p.input.schema().fields().len();
                Ok(projected(self.branches(&p.input)?, &exprs, p.schema.inner(), width))
            }
            LogicalPlan::Unnest(unnest) => {
                let lists = unnest.list_type_columns.iter();
                if !unnest.struct_type_columns.is_empty() || lists.clone().any(|(_, c)| c.depth != 1) {
                    return Err(Error::Unsupported {
                        program: self.program.to_owned(),
                        at: None,
                        reason: "UNNEST of a struct, or of a list of lists, is not supported in a stream"
                            .into(),
                        instead: "unnest one list of plain values; take fields with value['name']".into(),
                    });
                }
                let step = |changes: bool| {
                    let mut from = unnest.dependency_indices.clone();
                    let mut schema = Arc::clone(unnest.schema.inner());
                    if changes {
                        from.push(unnest.input.schema().fields().len());
                        schema = with_change(&schema);
                    }
                    let lists = lists.clone().map(|(at, _)| *at).collect();
                    let keep_nulls = super::step::keeps_nulls(&unnest.options);
                    Step::Unnest { lists, from, keep_nulls, schema }
                };
                let mut branches = self.branches(&unnest.input)?;
                branches.iter_mut().for_each(|b| b.steps.push(step(b.changes)));
                Ok(branches)
            }
            LogicalPlan::Union(union) => {
                let mut all = Vec::new();
                for input in &union.inputs {
                    all.extend(self.branches(input)?);
                }
                Ok(all)
            }
            LogicalPlan::Join(join) => self.join(join),
            other if let Some(node) = called(other) => {
                let calls = node.compile(|expr, schema| self.physical(expr, schema))?;
                let step = Step::Call { calls, at: node.input.schema().fields().len() };
                let mut branches = self.branches(&node.input)?;
                branches.iter_mut().for_each(|b| b.steps.push(step.clone()));
                Ok(branches)
            }
            other => match (keyed_aggregate(other), per_window(other)) {
                (Some(node), _) => self.aggregate(node),
                (_, Some(node)) => self.per_window(node),
                _ => Err(Error::Unsupported {
                    program: self.program.to_owned(),
                    at: None,
                    reason: format!("the plan holds {}, which is not supported in a stream", other.display()),
                    instead: "use projections, filters, UNION ALL, GROUP BY and joins".into(),
                }),
            },
        }
    }

    fn physical(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        self.state
            .create_physical_expr(expr.clone(), schema)
            .map_err(Error::plan(format!("{}: compiling {expr}", self.program)))
    }
}

/// Appends a projection; the change of a row, behind the `width` columns that the plan knows, is carried along.
fn projected(
    mut branches: Vec<Branch>,
    exprs: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
    width: usize,
) -> Vec<Branch> {
    for branch in &mut branches {
        let (mut exprs, mut schema) = (exprs.to_vec(), Arc::clone(schema));
        if branch.changes {
            exprs.push(Arc::new(Column::new(CHANGE, width)));
            schema = with_change(&schema);
        }
        branch.steps.push(Step::Project(exprs, schema));
    }
    branches
}

/// Lets the rows of branches that only come say so.
pub(crate) fn as_changes(mut branches: Vec<Branch>) -> Vec<Branch> {
    for branch in branches.iter_mut().filter(|b| !b.changes) {
        branch.steps.push(Step::Come);
        branch.changes = true;
    }
    branches
}

fn with_change(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().cloned().chain([Arc::new(change_field())]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
