//! Which output column holds which group key: how a late row's key is told in the sink's own terms.
//!
//! Every stage with windows is a *leaf*, by the number of its node: late rows come to light there. A column is
//! followed from the sink down to each of them.

use std::collections::BTreeMap;

use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::called::called;
use super::node::{KeyedAggregate, Windows};
use super::per_window::{Body, PerWindow};
use crate::WindowKind;

/// What an output column carries of a stage with windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    WindowStart,
    WindowEnd,
    Window,
    /// The key of that index, the window not counted.
    Key(usize),
}

/// What a column carries, by the number of the stage's node.
pub(crate) type Origins = BTreeMap<usize, Origin>;

/// Follows column `index` of `plan` down to the stages with windows.
pub(crate) fn origins(plan: &LogicalPlan, index: usize) -> Origins {
    match plan {
        LogicalPlan::Projection(p) => p.expr.get(index).map(|e| of_expr(e, &p.input)).unwrap_or_default(),
        LogicalPlan::Filter(f) => origins(&f.input, index),
        LogicalPlan::SubqueryAlias(a) => origins(&a.input, index),
        LogicalPlan::Union(u) => u.inputs.iter().flat_map(|i| origins(i, index)).collect(),
        LogicalPlan::Unnest(u) => match u.dependency_indices.get(index) {
            Some(&from) if !u.list_type_columns.iter().any(|(at, _)| *at == from) => origins(&u.input, from),
            _ => Origins::new(),
        },
        LogicalPlan::Extension(_) if let Some(node) = called(plan) => origins(&node.input, index),
        LogicalPlan::Extension(_) => match (keyed_aggregate(plan), per_window(plan)) {
            (Some(node), _) => of_aggregate(node, index),
            (_, Some(node)) => of_per_window(node, index),
            _ => Origins::new(),
        },
        _ => Origins::new(),
    }
}

fn of_aggregate(node: &KeyedAggregate, index: usize) -> Origins {
    let mut found = Origins::new();
    match (&node.windows, node.key_at(index)) {
        (Windows::Never, _) => return found,
        (Windows::Of { .. }, _) if Some(index) == node.window_at => {
            // Late windows of the stages below are told as the windows that they fall into here.
            found.extend(leaves(&node.input).into_keys().map(|leaf| (leaf, Origin::Window)));
            found.insert(node.id, Origin::Window);
        }
        (Windows::Inherited { window }, _) if Some(index) == node.window_at => {
            found = of_expr(window, &node.input);
            found.insert(node.id, Origin::Window);
        }
        (_, Some(key)) => {
            found = node.keys.get(key).map(|e| of_expr(e, &node.input)).unwrap_or_default();
            found.insert(node.id, Origin::Key(key));
        }
        _ => {}
    }
    found
}

fn of_per_window(node: &PerWindow, index: usize) -> Origins {
    let Some((side, column)) = side_of(node, index) else { return Origins::new() };
    let mut found = origins(&node.inputs[side], column);
    let is = |expr: &Expr, side: usize, column: usize| match expr {
        Expr::Column(c) => place(&node.inputs[side], c) == Some(column),
        _ => false,
    };
    let shared = if is(&node.windows[side], side, column) {
        Some((Origin::Window, node.windows.get(1 - side)))
    } else {
        let key = node.keys[side].iter().position(|k| is(k, side, column));
        key.map(|key| (Origin::Key(key), node.keys.get(1 - side).and_then(|k| k.get(key))))
    };
    match node.kind {
        Body::Over => {
            if let Some((origin, _)) = shared {
                found.insert(node.id, origin);
            }
        }
        // Where a row may lack this side, its column is NULL and names nothing.
        Body::Join(kind) => {
            if let Some((origin, other)) = shared
                && kept(kind, side)
            {
                found.insert(node.id, origin);
                found.extend(other.map(|e| of_expr(e, &node.inputs[1 - side])).unwrap_or_default());
            }
        }
    }
    found
}

/// The input that an output column comes from, and its place there.
fn side_of(node: &PerWindow, index: usize) -> Option<(usize, usize)> {
    let mut at = index;
    for (side, input) in node.inputs.iter().enumerate() {
        let width = input.schema().fields().len();
        if at < width {
            return Some((side, at));
        }
        at -= width;
    }
    None
}

/// Whether each row of the join has a row of this side.
fn kept(kind: JoinType, side: usize) -> bool {
    match kind {
        JoinType::Inner => true,
        JoinType::Left => side == 0,
        JoinType::Right => side == 1,
        _ => false,
    }
}

fn of_expr(expr: &Expr, input: &LogicalPlan) -> Origins {
    match expr {
        Expr::Alias(alias) => of_expr(&alias.expr, input),
        Expr::Cast(cast) => of_expr(&cast.expr, input),
        Expr::Column(column) => place(input, column).map(|at| origins(input, at)).unwrap_or_default(),
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => {
            let field = call.args.get(1).map(ToString::to_string).unwrap_or_default();
            let bound = match (field.contains("start"), field.contains("end")) {
                (true, _) => Origin::WindowStart,
                (_, true) => Origin::WindowEnd,
                _ => return Origins::new(),
            };
            let of = call.args.first().map(|e| of_expr(e, input)).unwrap_or_default();
            of.into_iter().filter(|(_, o)| *o == Origin::Window).map(|(leaf, _)| (leaf, bound)).collect()
        }
        Expr::ScalarFunction(call) if call.func.name() == "coalesce" => {
            call.args.iter().flat_map(|e| of_expr(e, input)).collect()
        }
        _ => Origins::new(),
    }
}

fn place(input: &LogicalPlan, column: &Column) -> Option<usize> {
    input.schema().index_of_column(column).ok()
}

/// The keyed aggregate that a plan node is, if it is one.
pub(crate) fn keyed_aggregate(plan: &LogicalPlan) -> Option<&KeyedAggregate> {
    let LogicalPlan::Extension(extension) = plan else { return None };
    extension.node.as_any().downcast_ref()
}

/// The computation over closed windows that a plan node is, if it is one.
pub(crate) fn per_window(plan: &LogicalPlan) -> Option<&PerWindow> {
    let LogicalPlan::Extension(extension) = plan else { return None };
    extension.node.as_any().downcast_ref()
}

/// Every stage with windows below, with the windows that its windows then fall into, in that order.
pub(crate) fn leaves(plan: &LogicalPlan) -> BTreeMap<usize, Vec<WindowKind>> {
    let mut found: BTreeMap<usize, Vec<WindowKind>> = plan.inputs().into_iter().flat_map(leaves).collect();
    if let Some(node) = keyed_aggregate(plan) {
        match node.windows {
            Windows::Of { kind, .. } => {
                found.values_mut().for_each(|outer| outer.push(kind));
                found.insert(node.id, Vec::new());
            }
            Windows::Inherited { .. } => {
                found.insert(node.id, Vec::new());
            }
            Windows::Never => {}
        }
    } else if let Some(node) = per_window(plan) {
        found.insert(node.id, Vec::new());
    }
    found
}

/// Whether the rows of a plan are changes: rows that come and go again.
pub(crate) fn is_updating(plan: &LogicalPlan) -> bool {
    let here = match plan {
        LogicalPlan::Join(_) => true,
        other => keyed_aggregate(other).is_some_and(|node| node.windows == Windows::Never),
    };
    here || plan.inputs().into_iter().any(is_updating)
}

/// The windows that the rows of a plan are of; `None` without any, or when branches differ.
pub(crate) fn windows_of_rows(plan: &LogicalPlan) -> Option<WindowKind> {
    if is_updating(plan) {
        return None;
    }
    if let Some(node) = keyed_aggregate(plan)
        && let Windows::Of { kind, .. } = node.windows
    {
        return Some(kind);
    }
    let mut found = plan.inputs().into_iter().map(windows_of_rows);
    let first = found.next()??;
    found.all(|other| other == Some(first)).then_some(first)
}

/// Whether the rows of a plan are those of a windowed aggregate, all of them.
pub(crate) fn has_every_window(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(p) => has_every_window(&p.input),
        LogicalPlan::SubqueryAlias(a) => has_every_window(&a.input),
        other => keyed_aggregate(other).is_some_and(|node| matches!(node.windows, Windows::Of { .. })),
    }
}
