//! One `.sql` file, understood: what it reads and writes, its streaming plan, and the same as a batch.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility, cast, col};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Query, Spanned, Statement};
use sha2::{Digest, Sha256};

use crate::locate::Find;
use crate::parse::{Insert, Parsed, parse};
use crate::pipeline::SourceExprs;
use crate::plan::{
    JobPlan, LateKeys, Origin, Origins, Planner, Rewriter, SinkPlan, Target, as_changes, called, calls_first,
    compile_job, has_call, has_every_window, is_updating, leaves, origins, windows_of_rows,
};
use crate::{Error, Functions, Location, PlanNode, Result, TableDef, TableKind, WindowKind, functions};

/// A group key of a windowed query, and where the sink keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// Column of the sink.
    pub column: String,
}

/// What a program writes to one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The sink.
    pub table: TableDef,
    /// The windows its rows come from; `None` when it is not windowed.
    pub windows: Option<WindowKind>,
    /// Column of the sink that holds the start of the window.
    pub window_start: Option<String>,
    /// Column of the sink that holds the end of the window.
    pub window_end: Option<String>,
    /// Columns of the sink that are group keys: with the window they name a row.
    pub keys: Vec<KeyColumn>,
    /// Each window of its source's rows, by key, has a row: no HAVING, join or rank leaves one out.
    pub every_window: bool,
    /// Its rows come and go: the sink is given Debezium changes.
    pub updating: bool,
}

/// A parsed and planned `.sql` file. One definition, two executions: [`Pipeline`](crate::Pipeline) runs it
/// as a stream, [`Program::batch`] over tables.
pub struct Program {
    name: String,
    identity: String,
    parsed: Parsed,
    functions: Functions,
    /// By source.
    source_exprs: Vec<Arc<SourceExprs>>,
    outputs: Vec<Output>,
    pub(crate) plan: JobPlan,
    explained: String,
    trees: Vec<PlanNode>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Program {
    /// Parses and plans a program. `name` names its job, and with it its state in checkpoints; each `$name` in
    /// an option is replaced from `variables`.
    ///
    /// # Errors
    /// When the SQL is wrong, or is not supported in a stream: with the reason and what to write instead.
    pub async fn parse(name: &str, sql: &str, variables: &BTreeMap<String, String>) -> Result<Self> {
        Box::pin(Self::parse_with(name, sql, variables, &Functions::new())).await
    }

    /// The same, of a program that calls functions of the caller's own.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub async fn parse_with(
        name: &str,
        sql: &str,
        variables: &BTreeMap<String, String>,
        functions: &Functions,
    ) -> Result<Self> {
        let parsed = parse(name, sql, variables)?;
        let context = session(functions)?;
        for source in sources(&parsed) {
            register(&context, &source.name, Arc::new(EmptyTable::new(Arc::clone(&source.schema))))?;
        }
        let used = sources(&parsed).cloned().collect::<Vec<_>>();
        // What is wrong in a generated column or a watermark is told now, not when the job starts.
        let exprs = used.iter().map(|source| Ok(Arc::new(SourceExprs::new(source, functions)?)));
        let source_exprs = exprs.collect::<Result<Vec<_>>>()?;
        let updating_ttl_ns = parsed.updating_ttl_ns;
        let mut plan = JobPlan { sources: used, stages: Vec::new(), sinks: Vec::new(), updating_ttl_ns };
        let mut outputs = Vec::new();
        let mut explained = String::new();
        let mut columns = Vec::new();
        let mut trees = Vec::new();
        let state = context.state();
        for Planned { table, plan: query, at } in planned(name, &parsed, &context, Target::Stream).await? {
            let updating = is_updating(&query);
            if updating && !table.writes_changes() {
                return Err(Error::Unsupported {
                    program: name.to_owned(),
                    at,
                    reason: format!(
                        "an updating query into {}, which keeps every row it is given,",
                        table.name
                    ),
                    instead: "write format = 'debezium_json' in the sink's options, or GROUP BY a window"
                        .into(),
                });
            }
            let found = (0..table.physical.fields().len()).map(|i| origins(&query, i)).collect::<Vec<_>>();
            let optimised = state.optimize(&query).map_err(Error::plan(format!("{name}: optimising")))?;
            let _ = writeln!(explained, "sink {}\n{}", table.name, optimised.display_indent());
            trees.push(PlanNode::of_sink(&table, &optimised));
            let sink = plan.sinks.iter().position(|s| s.table.name == table.name);
            let index = sink.unwrap_or(plan.sinks.len());
            let mut inputs = compile_job(name, &state, &optimised, index, &mut plan)?;
            if table.writes_changes() {
                inputs = as_changes(inputs);
            }
            columns.push(SinkColumns { sink: index, leaves: leaves(&query), origins: found });
            match sink {
                Some(index) => plan.sinks[index].inputs.extend(inputs),
                None => {
                    let changes = table.writes_changes();
                    let origins = &columns[columns.len() - 1].origins;
                    outputs.push(output(&table, &query, origins, updating));
                    plan.sinks.push(SinkPlan { table, inputs, changes });
                }
            }
        }
        tell_late_keys(&mut plan, &columns);
        let identity = Sha256::digest(&parsed.identity).iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self {
            name: name.to_owned(),
            identity,
            parsed,
            functions: functions.clone(),
            source_exprs,
            outputs,
            plan,
            explained,
            trees,
        })
    }

    /// Name of the job.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hash of the normalised program; state is valid only for the same one. Variables, white space and
    /// comments are not part of it.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Generated columns and watermark of a source, by its place in the plan.
    pub(crate) fn source_exprs(&self, source: usize) -> Option<&Arc<SourceExprs>> {
        self.source_exprs.get(source)
    }

    /// The tables it reads.
    pub fn sources(&self) -> impl Iterator<Item = &TableDef> {
        self.plan.sources.iter()
    }

    /// What it writes.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The optimised streaming plan as text.
    #[must_use]
    pub fn explain(&self) -> &str {
        &self.explained
    }

    /// The same plan as trees, one for each INSERT.
    #[must_use]
    pub fn plan_trees(&self) -> &[PlanNode] {
        &self.trees
    }

    /// The same program as a batch: one query a sink, its columns in the sink's names and types. Sources are
    /// looked up in `context` by the names of the program; a source may be a view with filters, so that only
    /// some users or days are computed. Rows without an event time are in no window.
    ///
    /// # Errors
    /// When a source is missing in `context` or lacks a column.
    pub async fn batch(&self, context: &SessionContext) -> Result<Vec<(TableDef, DataFrame)>> {
        let session = session(&self.functions)?;
        for source in sources(&self.parsed) {
            let provider = context.table_provider(source.name.as_str()).await.map_err(Error::plan(
                format!("{}: the batch needs a table {}; register it first", self.name, source.name),
            ))?;
            let scan = LogicalPlanBuilder::scan("physical", provider_as_source(provider), None);
            let columns = source.physical.fields().iter().map(|f| {
                cast(col(datafusion::common::Column::new_unqualified(f.name())), f.data_type().clone())
                    .alias(f.name())
            });
            let plan = scan
                .and_then(|s| s.project(columns)?.alias("physical")?.build())
                .map_err(Error::plan(format!("{}: source {} of the batch", self.name, source.name)))?;
            let generated = generated_columns(&session, source, &plan)?;
            let plan = LogicalPlanBuilder::new(plan)
                .project(generated)
                .and_then(LogicalPlanBuilder::build)
                .map_err(Error::plan("generated columns"))?;
            register(&session, &source.name, Arc::new(ViewTable::new(plan, None)))?;
        }
        let plans = planned(&self.name, &self.parsed, &session, Target::Batch).await?;
        let mut frames = Vec::with_capacity(plans.len());
        for Planned { table, plan, .. } in plans {
            let mut state = context.state();
            if plan.exists(|node| Ok(called(node).is_some()))? {
                state = SessionStateBuilder::new_from_existing(state)
                    .with_query_planner(Arc::new(Planner))
                    .build();
            }
            frames.push((table, DataFrame::new(state, plan)));
        }
        Ok(frames)
    }
}

/// The session that plans: its own functions, plain UTF-8 strings as sources have them.
pub(crate) fn session(own: &Functions) -> Result<SessionContext> {
    let config = SessionConfig::new()
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false)
        .set_bool("datafusion.sql_parser.collect_spans", true)
        .with_target_partitions(1);
    let state = SessionStateBuilder::new_with_default_features().with_config(config);
    let context = SessionContext::new_with_state(state.with_query_planner(Arc::new(Planner)).build());
    crave_udfs::register(&context);
    functions::register(&context);
    own.register(&context).map_err(Error::plan("registering functions"))?;
    Ok(context)
}

/// All columns of a source over a plan of its physical ones, in the order declared.
pub(crate) fn generated_columns(
    context: &SessionContext,
    source: &TableDef,
    plan: &LogicalPlan,
) -> Result<Vec<Expr>> {
    let state = context.state();
    let expr = |field: &str| {
        let Some(generated) = source.generated.iter().find(|g| g.name == field) else {
            return Ok(col(datafusion::common::Column::new_unqualified(field)));
        };
        let data_type = source.schema.field_with_name(field)?.data_type().clone();
        let expr = state
            .create_logical_expr(&generated.expr, plan.schema())
            .map_err(Error::plan(format!("table {}: generated column {field}", source.name)))?;
        Ok(cast(expr, data_type).alias(field))
    };
    source.schema.fields().iter().map(|f| expr(f.name())).collect()
}

fn sources(parsed: &Parsed) -> impl Iterator<Item = &TableDef> {
    parsed.tables.iter().filter(|t| t.kind == TableKind::Source)
}

fn register(
    context: &SessionContext,
    name: &str,
    provider: Arc<dyn datafusion::catalog::TableProvider>,
) -> Result<()> {
    let name = datafusion::common::TableReference::bare(name);
    let before =
        context.register_table(name.clone(), provider).map_err(Error::plan("registering a table"))?;
    match before {
        None => Ok(()),
        Some(_) => Err(Error::Invalid(format!("{name} is defined twice"))),
    }
}

/// The query of one INSERT, rewritten and cast to its sink.
struct Planned {
    table: TableDef,
    plan: LogicalPlan,
    /// Where the query begins.
    at: Option<Location>,
}

async fn planned(
    name: &str,
    parsed: &Parsed,
    context: &SessionContext,
    target: Target,
) -> Result<Vec<Planned>> {
    for (view, query) in &parsed.views {
        let plan = query_plan(name, context, query).await?;
        register(context, view, Arc::new(ViewTable::new(plan, None)))?;
    }
    let sources = sources(parsed).cloned().collect::<Vec<_>>();
    let next_id = Cell::new(0);
    let mut plans = Vec::new();
    for insert in &parsed.inserts {
        let table = parsed.tables.iter().find(|t| t.name == insert.table);
        let table = table.ok_or_else(|| Error::Internal("a sink is gone".into()))?;
        let plan = query_plan(name, context, &insert.query).await?;
        let plan = calls_first(plan).map_err(Error::plan(format!("{name}: planning calls")))?;
        let queries = std::iter::once(&*insert.query).chain(parsed.views.iter().map(|v| &*v.1)).collect();
        let rewriter = Rewriter { program: name, sources: &sources, target, next_id: &next_id, queries };
        pure(&rewriter, &plan)?;
        no_call_in_joins(&rewriter, &plan)?;
        let plan = into_sink(name, insert, table, rewriter.rewrite(&plan)?)?;
        plans.push(Planned { table: table.clone(), plan, at: Location::of(insert.query.span()) });
    }
    Ok(plans)
}

async fn query_plan(name: &str, context: &SessionContext, query: &Query) -> Result<LogicalPlan> {
    let statement = DfStatement::Statement(Box::new(Statement::Query(Box::new(query.clone()))));
    let state = context.state();
    let plan = Box::pin(state.statement_to_plan(statement));
    plan.await.map_err(|error| {
        let at =
            error.diagnostic().and_then(|d| d.span).map(|s| format!(":{}:{}", s.start.line, s.start.column));
        Error::plan(format!("{name}{}: planning a query", at.unwrap_or_default()))(error)
    })
}

/// A projection onto the sink's columns, by position or by the names the INSERT gives.
fn into_sink(name: &str, insert: &Insert, table: &TableDef, plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    let wanted = if insert.columns.is_empty() { table.physical.fields().len() } else { insert.columns.len() };
    if columns.len() != wanted {
        return Err(Error::Invalid(format!(
            "{name}: INSERT INTO {}: the query has {} columns, the table takes {wanted}",
            table.name,
            columns.len()
        )));
    }
    if let Some(stray) = insert.columns.iter().find(|c| table.physical.field_with_name(c).is_err()) {
        return Err(Error::Invalid(format!("{name}: table {} has no column {stray}", table.name)));
    }
    let mut exprs = Vec::with_capacity(wanted);
    for (i, field) in table.physical.fields().iter().enumerate() {
        let from = if insert.columns.is_empty() {
            Some(i)
        } else {
            insert.columns.iter().position(|c| c == field.name())
        };
        let expr = match from {
            Some(i) => Expr::Column(columns[i].clone()),
            None => Expr::Literal(datafusion::common::ScalarValue::Null, None),
        };
        exprs.push(cast(expr, field.data_type().clone()).alias(field.name()));
    }
    LogicalPlanBuilder::new(plan)
        .project(exprs)
        .and_then(LogicalPlanBuilder::build)
        .map_err(Error::plan(format!("{name}: casting to the columns of {}", table.name)))
}

/// A call waits before the rows meet, or not at all.
fn no_call_in_joins(rewriter: &Rewriter<'_>, plan: &LogicalPlan) -> Result<()> {
    let calls =
        |node: &LogicalPlan| matches!(node, LogicalPlan::Join(_)) && node.expressions().iter().any(has_call);
    if plan.exists(|node| Ok(calls(node))).map_err(Error::plan("looking for calls"))? {
        return Err(rewriter.unsupported(
            &Find::Join,
            "a function that waits, in the condition of a join,",
            "call it in a query of its own and join that",
        ));
    }
    Ok(())
}

/// Refuses what would give other rows when it runs again.
fn pure(rewriter: &Rewriter<'_>, plan: &LogicalPlan) -> Result<()> {
    let mut stray = None;
    let seen = plan.apply_with_subqueries(|node| {
        for expr in node.expressions() {
            expr.apply(|e| {
                if let Expr::ScalarFunction(call) = e
                    && call.func.signature().volatility != Volatility::Immutable
                    && functions::window_call(e).is_none()
                {
                    stray = Some(call.func.name().to_owned());
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    seen.map_err(Error::plan("looking for clocks"))?;
    match stray {
        None => Ok(()),
        Some(function) => Err(rewriter.unsupported(
            &Find::Function(&function),
            &format!("{function}(), which gives another value when it runs again,"),
            "use the event's own time or a column",
        )),
    }
}

/// What one query's columns carry of its stages.
struct SinkColumns {
    sink: usize,
    /// The stages with windows, and the windows that theirs fall into.
    leaves: BTreeMap<usize, Vec<WindowKind>>,
    /// By column of the sink.
    origins: Vec<Origins>,
}

fn output(table: &TableDef, query: &LogicalPlan, origins: &[Origins], updating: bool) -> Output {
    let windows = windows_of_rows(query);
    let name = |i: usize| table.physical.field(i).name().clone();
    let column = |o: Origin| origins.iter().position(|x| x.values().any(|v| *v == o)).map(name);
    // The first column that holds a key stands for it.
    let (mut seen, mut keys) = (BTreeSet::new(), Vec::new());
    for (index, origins) in origins.iter().enumerate() {
        let held = origins.iter().filter_map(|(leaf, origin)| match origin {
            Origin::Key(key) => Some((*leaf, *key)),
            _ => None,
        });
        let held = held.collect::<Vec<_>>();
        if held.iter().any(|k| !seen.contains(k)) {
            keys.push(KeyColumn { column: name(index) });
        }
        seen.extend(held);
    }
    Output {
        windows,
        window_start: column(Origin::WindowStart).filter(|_| windows.is_some()),
        window_end: column(Origin::WindowEnd).filter(|_| windows.is_some()),
        keys,
        table: table.clone(),
        every_window: has_every_window(query),
        updating,
    }
}

/// Late keys of all stages of a sink are told by the same columns: those that hold a key of every one of them.
fn tell_late_keys(plan: &mut JobPlan, queries: &[SinkColumns]) {
    for sink in 0..plan.sinks.len() {
        let of_sink = || queries.iter().filter(|q| q.sink == sink);
        let key = |query: &SinkColumns, column: usize, leaf: usize| match query.origins[column].get(&leaf) {
            Some(Origin::Key(key)) => Some(*key),
            _ => None,
        };
        let width = plan.sinks[sink].table.physical.fields().len();
        let shared = (0..width)
            .filter(|&column| of_sink().all(|q| q.leaves.keys().all(|&leaf| key(q, column, leaf).is_some())))
            .collect::<Vec<_>>();
        for stage in plan.stages.iter_mut().filter(|s| s.sink == sink) {
            let Some(query) = of_sink().find(|q| q.leaves.contains_key(&stage.id)) else { continue };
            let columns = shared.iter().filter_map(|&c| Some((key(query, c, stage.id)?, c))).collect();
            stage.late = LateKeys { columns, outer: query.leaves[&stage.id].clone() };
        }
    }
}
