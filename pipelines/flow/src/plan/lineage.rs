//! Which output column holds which group key: how a late row's key is told in the sink's own terms.

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::node::{WindowAggregate, Windows};
use crate::WindowKind;

/// What an output column carries of the innermost windowed aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    WindowStart,
    WindowEnd,
    Window,
    /// The key of that index, the window not counted.
    Key(usize),
}

/// Follows column `index` of `plan` down to the innermost windowed aggregate.
pub(crate) fn origin(plan: &LogicalPlan, index: usize) -> Option<Origin> {
    match plan {
        LogicalPlan::Projection(p) => of_expr(p.expr.get(index)?, &p.input),
        LogicalPlan::Filter(f) => origin(&f.input, index),
        LogicalPlan::SubqueryAlias(a) => origin(&a.input, index),
        LogicalPlan::Union(u) => {
            let mut found = u.inputs.iter().map(|i| origin(i, index));
            let first = found.next()??;
            found.all(|other| other == Some(first)).then_some(first)
        }
        LogicalPlan::Extension(_) => {
            let node = window_aggregate(plan)?;
            let groups = node.keys.len() + 1;
            match &node.windows {
                Windows::Of { .. } if index == node.window_at => Some(Origin::Window),
                Windows::Of { .. } if index < groups => {
                    Some(Origin::Key(if index > node.window_at { index - 1 } else { index }))
                }
                Windows::Inherited { window } if index == node.window_at => of_expr(window, &node.input),
                Windows::Inherited { .. } if index < groups => {
                    let key = if index > node.window_at { index - 1 } else { index };
                    of_expr(node.keys.get(key)?, &node.input)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn of_expr(expr: &Expr, input: &LogicalPlan) -> Option<Origin> {
    match expr {
        Expr::Alias(alias) => of_expr(&alias.expr, input),
        Expr::Cast(cast) => of_expr(&cast.expr, input),
        Expr::Column(column) => origin(input, place(input, column)?),
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => {
            let field = call.args.get(1)?.to_string();
            match (of_expr(call.args.first()?, input)?, field.contains("start"), field.contains("end")) {
                (Origin::Window, true, _) => Some(Origin::WindowStart),
                (Origin::Window, _, true) => Some(Origin::WindowEnd),
                _ => None,
            }
        }
        _ => None,
    }
}

fn place(input: &LogicalPlan, column: &Column) -> Option<usize> {
    input.schema().index_of_column(column).ok()
}

/// The windowed aggregate that a plan node is, if it is one.
pub(crate) fn window_aggregate(plan: &LogicalPlan) -> Option<&WindowAggregate> {
    let LogicalPlan::Extension(extension) = plan else { return None };
    extension.node.as_any().downcast_ref()
}

/// The windows of the innermost aggregate on the way to the sources; `None` without one, or when branches differ.
pub(crate) fn innermost(plan: &LogicalPlan) -> Option<WindowKind> {
    if let Some(node) = window_aggregate(plan)
        && let Windows::Of { kind, .. } = node.windows
    {
        return Some(kind);
    }
    let mut found = plan.inputs().into_iter().map(innermost);
    let first = found.next()??;
    found.all(|other| other == Some(first)).then_some(first)
}
