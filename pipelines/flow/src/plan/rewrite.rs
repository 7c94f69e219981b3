//! Turns DataFusion's plan of a query into one that a stream, or a batch, can run.
//!
//! A window in `GROUP BY` needs the event time of a row, which no projection between the source and the
//! aggregate selects: it is carried along as a hidden last column. For a stream the aggregate becomes a
//! [`WindowAggregate`]; for a batch the window becomes an ordinary function of the event time.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Extension, Filter, LogicalPlan, LogicalPlanBuilder, Projection,
    SubqueryAlias, Union, col,
};

use super::node::{WindowAggregate, Windows};
use crate::functions::{window_call, window_type, windows_of};
use crate::{Error, Result, TableDef, WindowKind};

/// Name of the hidden column.
const TIME: &str = "__event_time";
/// Name of the windows of a row in a batch.
const WINDOWS: &str = "__windows";

/// Who will run the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Stream,
    Batch,
}

/// What a rewrite needs to know.
pub(crate) struct Rewriter<'a> {
    pub(crate) program: &'a str,
    pub(crate) sources: &'a [TableDef],
    pub(crate) target: Target,
}

impl Rewriter<'_> {
    /// Rewrites a whole query.
    pub(crate) fn rewrite(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        self.plan(plan, false).map(|(plan, _)| plan)
    }

    /// Rewrites `plan`; with `timed` its output ends in the event time, named by the column returned.
    fn plan(&self, plan: &LogicalPlan, timed: bool) -> Result<(LogicalPlan, Option<Column>)> {
        let fail = Error::plan(format!("{}: planning", self.program));
        match plan {
            LogicalPlan::TableScan(scan) => {
                let time = if timed { Some(self.event_time(scan.table_name.table())?) } else { None };
                let time = time.map(|name| Column::new(Some(scan.table_name.clone()), name));
                Ok((plan.clone(), time))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                // A batch source is a view: below this alias stands the caller's table.
                let source = self.source(alias.alias.table());
                if self.target == Target::Batch && source.is_some() {
                    let time = if timed { Some(self.event_time(alias.alias.table())?) } else { None };
                    return Ok((plan.clone(), time.map(|name| Column::new(Some(alias.alias.clone()), name))));
                }
                let (input, time) = self.plan(&alias.input, timed)?;
                let input = if let Some(time) = &time { only_last_time(input, time)? } else { input };
                let plan = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone()).map_err(fail)?;
                let time = time.map(|time| Column::new(Some(alias.alias.clone()), time.name));
                Ok((LogicalPlan::SubqueryAlias(plan), time))
            }
            LogicalPlan::Filter(filter) => {
                let (input, time) = self.plan(&filter.input, timed)?;
                let plan = Filter::try_new(filter.predicate.clone(), Arc::new(input)).map_err(fail)?;
                Ok((LogicalPlan::Filter(plan), time))
            }
            LogicalPlan::Projection(projection) => {
                let (input, time) = self.plan(&projection.input, timed)?;
                let mut exprs = projection.expr.clone();
                if let Some(stray) = exprs.iter().find_map(|e| window_call(e)) {
                    return Err(self.unsupported(
                        &format!("{} outside an aggregate", stray.0),
                        "name it in a SELECT with an aggregate and put that name into GROUP BY",
                    ));
                }
                exprs.extend(time.map(|time| Expr::Column(time).alias(TIME)));
                let plan = Projection::try_new(exprs, Arc::new(input)).map_err(fail)?;
                Ok((LogicalPlan::Projection(plan), timed.then(|| Column::new_unqualified(TIME))))
            }
            LogicalPlan::Union(union) => {
                let mut inputs = Vec::with_capacity(union.inputs.len());
                for input in &union.inputs {
                    let columns = input.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
                    let (input, time) = self.plan(input, timed)?;
                    let exprs = columns.into_iter().chain(time.map(|time| Expr::Column(time).alias(TIME)));
                    let input =
                        LogicalPlanBuilder::new(input).project(exprs).and_then(LogicalPlanBuilder::build);
                    inputs.push(Arc::new(input.map_err(Error::plan(format!("{}: UNION", self.program)))?));
                }
                let plan = Union::try_new_with_loose_types(inputs).map_err(fail)?;
                Ok((LogicalPlan::Union(plan), timed.then(|| Column::new_unqualified(TIME))))
            }
            LogicalPlan::Aggregate(_) if timed => Err(self.unsupported(
                "a window over rows that are already windowed",
                "group by the window column of the inner query",
            )),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate).map(|plan| (plan, None)),
            other => Err(self.refuse(other)),
        }
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<LogicalPlan> {
        let fail = Error::plan(format!("{}: planning GROUP BY", self.program));
        let calls = aggregate.group_expr.iter().enumerate().filter_map(|(i, e)| Some((i, window_call(e)?)));
        let calls = calls.collect::<Vec<_>>();
        if calls.len() > 1 {
            return Err(self.unsupported("two windows in one GROUP BY", "write one query for each window"));
        }
        if matches!(aggregate.group_expr.first(), Some(Expr::GroupingSet(_))) {
            return Err(
                self.unsupported("GROUPING SETS, ROLLUP or CUBE", "write one query for each grouping")
            );
        }
        let Some((window_at, (name, args))) = calls.into_iter().next() else {
            return self.inherited(aggregate);
        };
        let kind = self.window_kind(name, args)?;
        let (input, time) = self.plan(&aggregate.input, true)?;
        let time = time.ok_or_else(|| Error::Internal("a plan lost its event time".into()))?;
        match self.target {
            Target::Stream => {
                let mut keys = aggregate.group_expr.clone();
                keys.remove(window_at);
                let windows = Windows::Of { kind, time: Expr::Column(time) };
                extension(WindowAggregate::try_new(
                    windows,
                    window_at,
                    keys,
                    aggregate.aggr_expr.clone(),
                    input,
                    &aggregate.schema,
                ))
            }
            Target::Batch => {
                let mut groups = aggregate.group_expr.clone();
                let name = aggregate.schema.field(window_at).name().clone();
                let window = windows_of(kind).call(vec![Expr::Column(time.clone())]);
                let input = LogicalPlanBuilder::new(input).filter(Expr::Column(time).is_not_null());
                let input = match kind {
                    WindowKind::Tumble { .. } => {
                        groups[window_at] = window.alias(name);
                        input
                    }
                    WindowKind::Hop { .. } => {
                        groups[window_at] = col(Column::new_unqualified(WINDOWS)).alias(name);
                        input.and_then(|input| {
                            let columns = input.schema().columns().into_iter().map(Expr::Column);
                            let exprs = columns.chain([window.alias(WINDOWS)]).collect::<Vec<_>>();
                            input.project(exprs)?.unnest_column(WINDOWS)
                        })
                    }
                };
                let input = input.and_then(LogicalPlanBuilder::build).map_err(fail)?;
                let plan = Aggregate::try_new(Arc::new(input), groups, aggregate.aggr_expr.clone());
                plan.map(LogicalPlan::Aggregate).map_err(Error::plan("planning GROUP BY of a batch"))
            }
        }
    }

    /// An aggregate over rows that carry a window: it must be one of the keys.
    fn inherited(&self, aggregate: &Aggregate) -> Result<LogicalPlan> {
        let is_window = |e: &Expr| e.get_type(aggregate.input.schema()).is_ok_and(|t| t == window_type());
        let Some(window_at) = aggregate.group_expr.iter().position(is_window) else {
            return Err(self.unsupported(
                "an aggregate without a window (an updating query)",
                "add tumble(INTERVAL '1 day') or hop(…) AS window to SELECT and GROUP BY",
            ));
        };
        let (input, _) = self.plan(&aggregate.input, false)?;
        let mut keys = aggregate.group_expr.clone();
        let aggregates = aggregate.aggr_expr.clone();
        match self.target {
            Target::Batch => Aggregate::try_new(Arc::new(input), keys, aggregates)
                .map(LogicalPlan::Aggregate)
                .map_err(Error::plan("planning GROUP BY of a batch")),
            Target::Stream => {
                let windows = Windows::Inherited { window: keys.remove(window_at) };
                let node =
                    WindowAggregate::try_new(windows, window_at, keys, aggregates, input, &aggregate.schema);
                extension(node)
            }
        }
    }

    fn window_kind(&self, name: &str, args: Result<Vec<i64>, String>) -> Result<WindowKind> {
        let args = args.map_err(|e| self.unsupported(&format!("{name}: {e}"), "use a fixed interval"))?;
        match (name, args.as_slice()) {
            ("tumble", &[width_ns]) => Ok(WindowKind::Tumble { width_ns }),
            ("hop", &[slide_ns, width_ns]) if width_ns % slide_ns == 0 => {
                Ok(WindowKind::Hop { slide_ns, width_ns })
            }
            ("hop", &[_, _]) => Err(self.unsupported(
                "a hop whose width is no multiple of its slide",
                "write hop(INTERVAL slide, INTERVAL width) with a width that the slide divides",
            )),
            ("session", _) => Err(self.unsupported("session(gap)", "use tumble or hop")),
            ("hop", _) => Err(self.unsupported("hop with these arguments", "write hop(slide, width)")),
            _ => Err(self.unsupported("tumble with these arguments", "write tumble(width)")),
        }
    }

    fn source(&self, name: &str) -> Option<&TableDef> {
        self.sources.iter().find(|s| s.name == name)
    }

    fn event_time(&self, table: &str) -> Result<String> {
        let watermark = self.source(table).and_then(|s| s.watermark.as_ref());
        watermark.map(|w| w.column.clone()).ok_or_else(|| {
            self.unsupported(
                &format!("a window over {table}, which has no event time"),
                "add WATERMARK FOR its time column to CREATE TABLE",
            )
        })
    }

    fn refuse(&self, plan: &LogicalPlan) -> Error {
        let (what, instead) = match plan {
            LogicalPlan::Join(_) => ("a join", "join the tables in a view of the lake (sql/lake)"),
            LogicalPlan::Window(_) => ("a window function (OVER)", "rank in a view of the lake (sql/lake)"),
            LogicalPlan::Sort(_) => ("ORDER BY", "order when you read the table"),
            LogicalPlan::Limit(_) => ("LIMIT", "limit when you read the table"),
            LogicalPlan::Distinct(_) => ("SELECT DISTINCT or UNION", "use GROUP BY a window, or UNION ALL"),
            LogicalPlan::Unnest(_) => ("UNNEST", "keep the list and unnest it in a view of the lake"),
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
                ("a SELECT without a source", "select from a CREATE TABLE … WITH (type = 'source')")
            }
            LogicalPlan::RecursiveQuery(_) => ("a recursive query", "write it without recursion"),
            _ => ("this query", "use projection, filter, UNION ALL, tumble and hop"),
        };
        self.unsupported(what, instead)
    }

    fn unsupported(&self, reason: &str, instead: &str) -> Error {
        Error::Unsupported {
            program: self.program.to_owned(),
            reason: format!("{reason} is not supported in a stream"),
            instead: instead.to_owned(),
        }
    }
}

fn extension(node: datafusion::common::Result<WindowAggregate>) -> Result<LogicalPlan> {
    let node = node.map_err(Error::plan("planning a windowed GROUP BY"))?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// An alias drops qualifiers, so the hidden column must not share its name with a visible one.
fn only_last_time(input: LogicalPlan, time: &Column) -> Result<LogicalPlan> {
    if time.name != TIME {
        return Ok(input);
    }
    let twice = input.schema().fields().iter().filter(|f| f.name() == TIME).count() > 1;
    if twice { Err(Error::Invalid(format!("a column may not be called {TIME}"))) } else { Ok(input) }
}
