//! `OVER (PARTITION BY window …)`: ranks and other window functions within a window that closes.

use std::sync::Arc;

use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Window};

use super::{Rewriter, Target, extension};
use crate::functions::window_type;
use crate::locate::Find;
use crate::plan::lineage::is_updating;
use crate::plan::per_window::{Body, PerWindow, stand_in};
use crate::{Error, Result};

impl Rewriter<'_> {
    pub(super) fn over(&self, window: &Window) -> Result<LogicalPlan> {
        let (input, _) = self.plan(&window.input, false)?;
        let mut exprs = Vec::with_capacity(window.window_expr.len());
        let mut shared: Option<(Expr, Vec<Expr>)> = None;
        for expr in &window.window_expr {
            let (expr, of, keys) = self.partitioned(expr, window)?;
            exprs.push(expr);
            shared = Some(match shared {
                None => (of, keys),
                Some((first, _)) if first != of => {
                    return Err(self.unsupported(
                        &Find::Over,
                        "two windows partitioned by in one SELECT",
                        "write one query for each",
                    ));
                }
                Some((first, mut before)) => {
                    before.retain(|k| keys.contains(k));
                    (first, before)
                }
            });
        }
        let build = |input: LogicalPlan| {
            let plan = Window::try_new(exprs.clone(), Arc::new(input)).map(LogicalPlan::Window);
            plan.map_err(Error::plan(format!("{}: planning OVER", self.program)))
        };
        let Some((of, keys)) = shared.filter(|_| self.target == Target::Stream) else { return build(input) };
        if is_updating(&input) {
            return Err(self.unsupported(
                &Find::Over,
                "OVER rows that change (an updating query)",
                "give the inner query a window in GROUP BY",
            ));
        }
        let stand = stand_in(0, input.schema());
        let body = build(stand.map_err(Error::plan(format!("{}: planning OVER", self.program)))?)?;
        Ok(extension(PerWindow {
            id: self.id(),
            kind: Body::Over,
            body,
            windows: vec![of],
            keys: vec![keys],
            inputs: vec![input],
        }))
    }

    /// The call with the window in `PARTITION BY` taken apart, the window, and the other partition keys.
    fn partitioned(&self, expr: &Expr, window: &Window) -> Result<(Expr, Expr, Vec<Expr>)> {
        let name = expr.schema_name().to_string();
        let Expr::WindowFunction(mut call) = expr.clone().unalias() else {
            return Err(Error::Internal(format!("{expr} is no window function")));
        };
        let is_window = |e: &Expr| e.get_type(window.input.schema()).is_ok_and(|t| t == window_type());
        let WindowFunctionParams { partition_by, .. } = &mut call.params;
        let Some(at) = partition_by.iter().position(is_window) else {
            return Err(self.unsupported(
                &Find::Over,
                &format!("{} over rows without end", call.fun.name()),
                "write OVER (PARTITION BY window, … ORDER BY …) over a query grouped by a window",
            ));
        };
        let of = partition_by.remove(at);
        let keys = partition_by.clone();
        partition_by.extend(["start", "end"].map(|bound| get_field(of.clone(), bound)));
        Ok((Expr::WindowFunction(call).alias(name), of, keys))
    }
}
