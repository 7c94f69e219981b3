//! Turns DataFusion's plan of a query into one that a stream, or a batch, can run.
//!
//! A window in `GROUP BY` needs the event time of a row, which no projection between the source and the
//! aggregate selects: it is carried along as a hidden last column. For a stream the aggregate becomes a
//! [`KeyedAggregate`](super::node::KeyedAggregate), a join or `OVER` within windows a
//! [`PerWindow`](super::per_window::PerWindow); for a batch they stay what they are, and the window becomes an
//! ordinary function of the event time. What neither can run is refused with its place in the SQL.

mod group;
mod join;
mod over;
mod refuse;
mod session;

use std::cell::Cell;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Extension, Filter, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias,
    Union, UserDefinedLogicalNode, cast, lit,
};
use datafusion::sql::sqlparser::ast::Query;

use super::called::called;
use super::lineage::is_updating;
use crate::functions::{TIMESTAMP, window_call, window_type};
use crate::locate::Find;
use crate::{Error, Result, TableDef};

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
    /// Numbers the nodes of a program.
    pub(crate) next_id: &'a Cell<usize>,
    /// The query at hand, then the views it may read: where to look for what is refused.
    pub(crate) queries: Vec<&'a Query>,
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
                self.no_subquery(&filter.predicate)?;
                let (input, time) = self.plan(&filter.input, timed)?;
                let plan = Filter::try_new(filter.predicate.clone(), Arc::new(input)).map_err(fail)?;
                Ok((LogicalPlan::Filter(plan), time))
            }
            LogicalPlan::Projection(projection) => {
                let mut exprs = projection.expr.clone();
                for expr in &exprs {
                    self.no_subquery(expr)?;
                    if let Some((name, _)) = window_call(expr) {
                        return Err(self.unsupported(
                            &Find::Function(name),
                            &format!("{name} outside an aggregate"),
                            "name it in a SELECT with an aggregate and put that name into GROUP BY",
                        ));
                    }
                }
                let (input, time) = self.plan(&projection.input, timed)?;
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
            LogicalPlan::Unnest(unnest) => {
                let (input, time) = self.plan(&unnest.input, timed)?;
                let plan = LogicalPlanBuilder::new(input)
                    .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())
                    .and_then(LogicalPlanBuilder::build)
                    .map_err(fail)?;
                Ok((plan, time))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
                let groups = Aggregate::try_new(Arc::clone(input), columns, Vec::new()).map_err(fail)?;
                self.closed(self.aggregate(&groups)?, timed)
            }
            LogicalPlan::Aggregate(aggregate) => self.closed(self.aggregate(aggregate)?, timed),
            LogicalPlan::Join(join) => self.closed(self.join(join)?, timed),
            LogicalPlan::Window(window) => self.closed(self.over(window)?, timed),
            other if called(other).is_some() => {
                let (input, time) = self.plan(other.inputs()[0], timed)?;
                let plan = other.with_new_exprs(other.expressions(), vec![input]).map_err(fail)?;
                Ok((plan, time))
            }
            other => Err(self.refuse(other)),
        }
    }

    /// With `timed`: rows of a window happen at its last instant, so that they can be windowed again.
    fn closed(&self, plan: LogicalPlan, timed: bool) -> Result<(LogicalPlan, Option<Column>)> {
        if !timed {
            return Ok((plan, None));
        }
        let updating = self.target == Target::Stream && is_updating(&plan);
        let window = plan.schema().iter().find(|(_, f)| !updating && *f.data_type() == window_type());
        let Some((qualifier, field)) = window else {
            return Err(self.unsupported(
                &Find::Window,
                "a window over rows that change (an updating query) and have no event time",
                "group the inner query, or join its two sides, by a window",
            ));
        };
        let window = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let end = cast(get_field(window, "end"), DataType::Int64);
        let columns = plan.schema().columns().into_iter().map(Expr::Column);
        let exprs = columns.chain([cast(end - lit(1_i64), TIMESTAMP).alias(TIME)]).collect::<Vec<_>>();
        let plan = LogicalPlanBuilder::new(plan).project(exprs).and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(Error::plan(format!("{}: windowing a window", self.program)))?;
        Ok((plan, Some(Column::new_unqualified(TIME))))
    }

    fn source(&self, name: &str) -> Option<&TableDef> {
        self.sources.iter().find(|s| s.name == name)
    }

    fn event_time(&self, table: &str) -> Result<String> {
        let watermark = self.source(table).and_then(|s| s.watermark.as_ref());
        watermark.map(|w| w.column.clone()).ok_or_else(|| {
            self.unsupported(
                &Find::Window,
                &format!("a window over {table}, which has no event time,"),
                "add WATERMARK FOR its time column to CREATE TABLE",
            )
        })
    }

    fn id(&self) -> usize {
        self.next_id.replace(self.next_id.get() + 1)
    }
}

fn extension(node: impl UserDefinedLogicalNode + 'static) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(node) })
}

/// An alias drops qualifiers, so the hidden column must not share its name with a visible one.
fn only_last_time(input: LogicalPlan, time: &Column) -> Result<LogicalPlan> {
    if time.name != TIME {
        return Ok(input);
    }
    let twice = input.schema().fields().iter().filter(|f| f.name() == TIME).count() > 1;
    if twice { Err(Error::Invalid(format!("a column may not be called {TIME}"))) } else { Ok(input) }
}
