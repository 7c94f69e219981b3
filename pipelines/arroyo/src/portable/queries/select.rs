//! One SELECT: its inputs joined, grouped or passed on.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, JoinConstraint, JoinOperator, Select, SelectItem, Spanned as _, TableFactor,
    Value, visit_expressions,
};

use super::{Relations, Shape, query, rename};
use crate::portable::{
    calls::item_expr,
    finding::Findings,
    functions::{TIME_WINDOWS, is_aggregate},
    script::{At, Script, folded, folded_name},
};

pub(super) fn shape(
    of: &Select,
    script: &Script,
    relations: &Relations,
    findings: &mut Findings<'_>,
) -> Shape {
    let input = from(of, script, relations, findings);
    ranks(of, &input, findings);
    let grouped = grouped(of);
    let distinct = matches!(of.distinct, Some(Distinct::Distinct | Distinct::On(_)));
    let at: At = of.select_token.0.span.start.into();
    if !grouped && !distinct {
        let windows = of.projection.iter().filter(|item| is_window(item, &input)).filter_map(output_name);
        let mut windows: std::collections::BTreeSet<_> = windows.collect();
        if of.projection.iter().any(|item| item_expr(item).is_none()) {
            windows.extend(input.windows.iter().cloned());
        }
        return Shape { windows, union: false, ..input };
    }
    if input.union {
        let reason = "Arroyo 0.16-dev refuses an aggregate over a UNION (cases/union_then_tumble)";
        findings.stop(at, "union", reason, "aggregate each side, or UNION into a topic and aggregate that");
    }
    if input.updating {
        let reason = "Arroyo aggregates no rows that are updated";
        findings.stop(at, "append", reason, "aggregate over windows first");
    }
    let own = own_window(of);
    let carried = carries_window(of, &input);
    if !own && !carried && input.windowed {
        let reason = "its input is over windows, but it is not grouped by the window";
        findings.stop(at, "window", reason, "add the window to GROUP BY");
    }
    let windows =
        of.projection.iter().filter(|item| is_window(item, &input)).filter_map(output_name).collect();
    let session = input.session || calls(of, "session");
    let windowed = own || carried;
    Shape { windows, windowed, session, updating: !windowed, union: false }
}

/// The shape of FROM: relations joined.
fn from(of: &Select, script: &Script, relations: &Relations, findings: &mut Findings<'_>) -> Shape {
    let mut shape: Option<Shape> = None;
    for item in &of.from {
        let mut left = factor(&item.relation, script, relations, findings);
        let at: At = item.relation.span().start.into();
        for join in &item.joins {
            let right = factor(&join.relation, script, relations, findings);
            let at: At = join.relation.span().start.into();
            left = joined(&left, &right, &join.join_operator, at, findings);
        }
        shape = Some(match shape {
            None => left,
            Some(_) if matches!(item.relation, TableFactor::UNNEST { .. }) => left,
            Some(before) => {
                joined(&before, &left, &JoinOperator::CrossJoin(JoinConstraint::None), at, findings)
            }
        });
    }
    shape.unwrap_or_default()
}

fn factor(of: &TableFactor, script: &Script, relations: &Relations, findings: &mut Findings<'_>) -> Shape {
    match of {
        TableFactor::Table { name, .. } => {
            let at: At = name.span().start.into();
            let name = folded_name(name);
            if let Some(table) = script.table(&name).filter(|table| table.is_sink()) {
                let (rule, what) = match table.connector() {
                    "delta" => ("delta-source", "Arroyo cannot read a Delta table"),
                    _ => ("sink-source", "Arroyo cannot read a sink"),
                };
                let instead = "read the topic it comes from, or a view of this program";
                findings.stop(at, rule, format!("{what}, and {name} is one"), instead);
            }
            relations.get(&name).cloned().unwrap_or_default()
        }
        TableFactor::Derived { subquery, alias, .. } => {
            let mut shape = query(subquery, script, relations, findings);
            let names = alias.iter().flat_map(|a| &a.columns).map(|c| folded(&c.name)).collect::<Vec<_>>();
            rename(&mut shape, subquery, &names);
            shape
        }
        TableFactor::NestedJoin { table_with_joins, .. } => {
            let mut left = factor(&table_with_joins.relation, script, relations, findings);
            for join in &table_with_joins.joins {
                let right = factor(&join.relation, script, relations, findings);
                left =
                    joined(&left, &right, &join.join_operator, join.relation.span().start.into(), findings);
            }
            left
        }
        _ => Shape::default(),
    }
}

fn joined(left: &Shape, right: &Shape, by: &JoinOperator, at: At, findings: &mut Findings<'_>) -> Shape {
    let (constraint, inner) = match by {
        JoinOperator::AsOf { .. } => {
            let instead =
                "join the windows of both sides, or compute it in a view over the tables (sql/lake)";
            findings.stop(at, "as-of", "Arroyo has no as-of join", instead);
            return left.clone();
        }
        JoinOperator::Join(on) | JoinOperator::Inner(on) => (on, true),
        JoinOperator::CrossJoin(on) => (on, true),
        JoinOperator::Left(on)
        | JoinOperator::LeftOuter(on)
        | JoinOperator::Right(on)
        | JoinOperator::RightOuter(on)
        | JoinOperator::FullOuter(on) => (on, false),
        _ => {
            findings.stop(
                at,
                "join",
                "Arroyo has inner, left, right and full joins only",
                "write one of them",
            );
            return left.clone();
        }
    };
    let equal = match constraint {
        JoinConstraint::On(on) => on.to_string().contains('='),
        JoinConstraint::Using(_) | JoinConstraint::Natural => true,
        JoinConstraint::None => false,
    };
    if !equal {
        findings.stop(at, "join", "Arroyo joins by equal columns only", "write JOIN … ON a.key = b.key");
    }
    if left.windowed != right.windowed {
        let reason = "one side of the join is over windows and the other is not";
        findings.stop(at, "join", reason, "give both sides the same window and join by it too");
    } else if !left.windowed && !inner {
        let reason = "Arroyo has outer joins only between windows";
        findings.stop(at, "join", reason, "give both sides the same window, or write an inner join");
    }
    if left.windowed && right.windowed && (left.session || right.session) {
        findings.stop(at, "join", "Arroyo joins no session windows", "use tumble or hop on both sides");
    }
    if left.updating || right.updating {
        findings.stop(at, "append", "Arroyo joins no rows that are updated", "aggregate over windows first");
    }
    Shape {
        windows: left.windows.union(&right.windows).cloned().collect(),
        windowed: left.windowed && right.windowed,
        session: left.session || right.session,
        updating: left.updating || right.updating,
        union: false,
    }
}

/// Window functions need windows below them.
fn ranks(of: &Select, input: &Shape, findings: &mut Findings<'_>) {
    for item in &of.projection {
        let _: ControlFlow<()> = visit_expressions(item, |expr| {
            if let Expr::Function(call) = expr
                && call.over.is_some()
                && !input.windowed
            {
                let at = call.name.span().start.into();
                let reason = "Arroyo numbers rows within a window only";
                findings.stop(
                    at,
                    "over",
                    reason,
                    "aggregate by tumble or hop first, and PARTITION BY window",
                );
            }
            ControlFlow::Continue(())
        });
    }
}

fn grouped(of: &Select) -> bool {
    let keys = match &of.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
    };
    let aggregates = |item: &SelectItem| {
        visit_expressions(item, |expr| match expr {
            Expr::Function(call) if call.over.is_none() && is_aggregate(&folded_name(&call.name)) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        })
        .is_break()
    };
    keys || of.having.is_some() || of.projection.iter().any(aggregates)
}

/// Whether it calls tumble, hop or session itself, in GROUP BY or as a column that GROUP BY names.
fn own_window(of: &Select) -> bool {
    TIME_WINDOWS.into_iter().any(|name| calls(of, name))
}

fn calls(of: &Select, name: &str) -> bool {
    let GroupByExpr::Expressions(keys, _) = &of.group_by else { return false };
    let is = |expr: &Expr| matches!(expr, Expr::Function(call) if folded_name(&call.name) == name);
    keys.iter().any(is) || of.projection.iter().filter_map(item_expr).any(is)
}

/// Whether it is grouped by a window of its input.
fn carries_window(of: &Select, input: &Shape) -> bool {
    let keys = match &of.group_by {
        GroupByExpr::Expressions(keys, _) if !keys.is_empty() => keys,
        // DISTINCT groups by every column.
        _ => return of.distinct.is_some() && of.projection.iter().any(|item| is_window(item, input)),
    };
    keys.iter().any(|key| match key {
        Expr::Value(value) => match &value.value {
            Value::Number(at, _) => {
                let at = at.parse::<usize>().ok().and_then(|at| of.projection.get(at.checked_sub(1)?));
                at.is_some_and(|item| is_window(item, input))
            }
            _ => false,
        },
        key => {
            let Some(name) = last_name(key) else { return false };
            let aliased =
                of.projection.iter().find(|item| output_name(item).as_deref() == Some(name.as_str()));
            input.windows.contains(&name) || aliased.is_some_and(|item| is_window(item, input))
        }
    })
}

/// Whether a column is a window: a call, or a window column of the input.
fn is_window(item: &SelectItem, input: &Shape) -> bool {
    match item_expr(item) {
        Some(Expr::Function(call)) => TIME_WINDOWS.contains(&folded_name(&call.name).as_str()),
        // `window.start` is a time, not a window.
        Some(expr @ Expr::Identifier(_)) => last_name(expr).is_some_and(|name| input.windows.contains(&name)),
        Some(expr @ Expr::CompoundIdentifier(parts)) => {
            let of_window = parts.len() > 1 && input.windows.contains(&folded(&parts[parts.len() - 2]));
            !of_window && last_name(expr).is_some_and(|name| input.windows.contains(&name))
        }
        _ => false,
    }
}

fn last_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        _ => None,
    }
}

/// Name of a column in the result.
pub(super) fn output_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(expr) => last_name(expr),
        _ => None,
    }
}
