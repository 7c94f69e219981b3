//! `GROUP BY`: over windows of the event time, over windows that rows carry already, or over none (updating).

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, col};

use super::session::sessions;
use super::{Rewriter, Target, WINDOWS, extension};
use crate::functions::{TIMESTAMP, window_call, window_type, windows_of};
use crate::locate::Find;
use crate::plan::node::{KeyedAggregate, Windows};
use crate::{Error, Result, WindowKind};

impl Rewriter<'_> {
    pub(super) fn aggregate(&self, aggregate: &Aggregate) -> Result<LogicalPlan> {
        let calls = aggregate.group_expr.iter().enumerate().filter_map(|(i, e)| Some((i, window_call(e)?)));
        let calls = calls.collect::<Vec<_>>();
        if calls.len() > 1 {
            return Err(self.unsupported(
                &Find::Window,
                "two windows in one GROUP BY",
                "write one query for each window",
            ));
        }
        if matches!(aggregate.group_expr.first(), Some(Expr::GroupingSet(_))) {
            return Err(self.unsupported(
                &Find::GroupBy,
                "GROUPING SETS, ROLLUP or CUBE",
                "write one query for each grouping",
            ));
        }
        for expr in aggregate.group_expr.iter().chain(&aggregate.aggr_expr) {
            self.no_subquery(expr)?;
        }
        let Some((window_at, (name, args))) = calls.into_iter().next() else {
            return self.windowless(aggregate);
        };
        let kind = self.window_kind(name, args)?;
        let (input, time) = self.plan(&aggregate.input, true)?;
        let time = time.ok_or_else(|| Error::Internal("a plan lost its event time".into()))?;
        match self.target {
            Target::Stream => {
                let windows = Windows::Of { kind, time: Expr::Column(time) };
                self.keyed(aggregate, windows, Some(window_at), input)
            }
            Target::Batch => self.batch(aggregate, kind, window_at, input, time),
        }
    }

    /// The same over a whole table: the window becomes a function of the event time.
    fn batch(
        &self,
        aggregate: &Aggregate,
        kind: WindowKind,
        window_at: usize,
        input: LogicalPlan,
        time: Column,
    ) -> Result<LogicalPlan> {
        let mut groups = aggregate.group_expr.clone();
        let name = aggregate.schema.field(window_at).name().clone();
        let time = cast(Expr::Column(time), TIMESTAMP);
        let input = LogicalPlanBuilder::new(input).filter(time.clone().is_not_null());
        let input = match kind {
            WindowKind::Tumble { .. } => {
                groups[window_at] = windows_of(kind).call(vec![time]).alias(name);
                input
            }
            WindowKind::Hop { .. } => {
                groups[window_at] = col(Column::new_unqualified(WINDOWS)).alias(name);
                input.and_then(|input| {
                    let columns = input.schema().columns().into_iter().map(Expr::Column);
                    let window = windows_of(kind).call(vec![time]);
                    let exprs = columns.chain([window.alias(WINDOWS)]).collect::<Vec<_>>();
                    input.project(exprs)?.unnest_column(WINDOWS)
                })
            }
            WindowKind::Session { gap_ns } => {
                groups.remove(window_at);
                let keys = groups.clone();
                groups.insert(window_at, col(Column::new_unqualified(WINDOWS)).alias(name));
                input.and_then(|input| sessions(input, gap_ns, &keys, &time))
            }
        };
        let plan = input
            .and_then(LogicalPlanBuilder::build)
            .and_then(|input| Aggregate::try_new(Arc::new(input), groups, aggregate.aggr_expr.clone()));
        plan.map(LogicalPlan::Aggregate).map_err(Error::plan("planning GROUP BY of a batch"))
    }

    /// No call of a window function: a key that is a window already, or an updating aggregate.
    fn windowless(&self, aggregate: &Aggregate) -> Result<LogicalPlan> {
        let is_window = |e: &Expr| e.get_type(aggregate.input.schema()).is_ok_and(|t| t == window_type());
        let window_at = aggregate.group_expr.iter().position(is_window);
        let (input, _) = self.plan(&aggregate.input, false)?;
        match (self.target, window_at) {
            (Target::Batch, _) => {
                let (keys, aggregates) = (aggregate.group_expr.clone(), aggregate.aggr_expr.clone());
                Aggregate::try_new(Arc::new(input), keys, aggregates)
                    .map(LogicalPlan::Aggregate)
                    .map_err(Error::plan("planning GROUP BY of a batch"))
            }
            (Target::Stream, None) => self.keyed(aggregate, Windows::Never, None, input),
            (Target::Stream, Some(at)) => {
                let window = aggregate.group_expr[at].clone();
                if crate::plan::lineage::is_updating(&input) {
                    return Err(self.unsupported(
                        &Find::GroupBy,
                        "GROUP BY window over rows that change (an updating query)",
                        "join the two sides on their window too, or leave the window out",
                    ));
                }
                let outer = window.nullable(input.schema()).unwrap_or(false);
                if outer && !window.to_string().contains("coalesce") {
                    return Err(self.unsupported(
                        &Find::GroupBy,
                        "a window that an outer join may leave NULL as a group key",
                        "group by coalesce(a.window, b.window)",
                    ));
                }
                self.keyed(aggregate, Windows::Inherited { window }, Some(at), input)
            }
        }
    }

    fn keyed(
        &self,
        aggregate: &Aggregate,
        windows: Windows,
        window_at: Option<usize>,
        input: LogicalPlan,
    ) -> Result<LogicalPlan> {
        let mut keys = aggregate.group_expr.clone();
        if let Some(at) = window_at {
            keys.remove(at);
        }
        let aggregates = aggregate.aggr_expr.clone();
        let windows = (windows, window_at);
        let node = KeyedAggregate::try_new(self.id(), windows, keys, aggregates, input, &aggregate.schema);
        node.map(extension).map_err(Error::plan(format!("{}: planning GROUP BY", self.program)))
    }

    fn window_kind(&self, name: &str, args: Result<Vec<i64>, String>) -> Result<WindowKind> {
        let find = Find::Function(name);
        let args =
            args.map_err(|e| self.unsupported(&find, &format!("{name}: {e};"), "use a fixed interval"))?;
        let refused = |reason, instead| Err(self.unsupported(&find, reason, instead));
        match (name, args.as_slice()) {
            ("tumble", &[width_ns]) => Ok(WindowKind::Tumble { width_ns }),
            ("session", &[gap_ns]) => Ok(WindowKind::Session { gap_ns }),
            ("hop", &[slide_ns, width_ns]) if width_ns % slide_ns == 0 => {
                Ok(WindowKind::Hop { slide_ns, width_ns })
            }
            ("hop", &[_, _]) => refused(
                "a hop whose width is no multiple of its slide",
                "write hop(INTERVAL slide, INTERVAL width) with a width that the slide divides",
            ),
            ("session", _) => refused("session with these arguments", "write session(gap)"),
            ("hop", _) => refused("hop with these arguments", "write hop(slide, width)"),
            _ => refused("tumble with these arguments", "write tumble(width)"),
        }
    }
}
