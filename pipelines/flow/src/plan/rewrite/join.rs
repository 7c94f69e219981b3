//! Joins: of two windowed queries on their window, computed as windows close; any other equality join is an
//! updating one, whose rows change as its sides come.

use std::sync::Arc;

use datafusion::common::{ExprSchema, JoinType};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::utils::{conjunction, find_valid_equijoin_key_pair, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Join, LogicalPlan, Operator};

use super::{Rewriter, Target, extension};
use crate::functions::window_type;
use crate::locate::Find;
use crate::plan::lineage::is_updating;
use crate::plan::per_window::{Body, PerWindow, stand_in};
use crate::{Error, Result};

/// Pairs of expressions, one a side, that are equal in joined rows.
type Pairs = Vec<(Expr, Expr)>;

impl Rewriter<'_> {
    pub(super) fn join(&self, join: &Join) -> Result<LogicalPlan> {
        let fail = || Error::plan(format!("{}: planning a join", self.program));
        if !matches!(join.join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) {
            return Err(self.unsupported(
                &Find::Join,
                &format!("a {} join", join.join_type),
                "write it as an inner, left, right or full join",
            ));
        }
        let (left, _) = self.plan(&join.left, false)?;
        let (right, _) = self.plan(&join.right, false)?;
        let (pairs, rest) = equalities(join).map_err(fail())?;
        let (windows, keys) = windows_and_keys(join, pairs);
        if keys.is_empty() && windows.is_none() {
            return Err(self.unsupported(
                &Find::Join,
                "a join without an equality",
                "write JOIN … ON a.key = b.key (and a.window = b.window, to join as windows close)",
            ));
        }
        let mut on = keys.clone();
        if let Some((l, r)) = &windows {
            on.extend(["start", "end"].map(|b| (get_field(l.clone(), b), get_field(r.clone(), b))));
        }
        let build = |left: LogicalPlan, right: LogicalPlan| {
            let (left, right) = (Arc::new(left), Arc::new(right));
            let (kind, constraint) = (join.join_type, join.join_constraint);
            let null = join.null_equality;
            Join::try_new(left, right, on.clone(), rest.clone(), kind, constraint, null, false)
                .map(LogicalPlan::Join)
                .map_err(fail())
        };
        let Some((l, r)) = windows.filter(|_| self.target == Target::Stream) else {
            if join.join_type != JoinType::Inner && rest.is_some() && self.target == Target::Stream {
                return Err(self.unsupported(
                    &Find::Join,
                    "an outer join over time with a condition that is no equality",
                    "move the condition into a WHERE of one side, or join on the window too",
                ));
            }
            return build(left, right);
        };
        if is_updating(&left) || is_updating(&right) {
            return Err(self.unsupported(
                &Find::Join,
                "a join on windows with rows that change (an updating query)",
                "give both sides a window in GROUP BY",
            ));
        }
        let stand = |side: usize, plan: &LogicalPlan| stand_in(side, plan.schema()).map_err(fail());
        let body = build(stand(0, &left)?, stand(1, &right)?)?;
        let (lefts, rights) = keys.into_iter().unzip();
        Ok(extension(PerWindow {
            id: self.id(),
            kind: Body::Join(join.join_type),
            body,
            windows: vec![l, r],
            keys: vec![lefts, rights],
            inputs: vec![left, right],
        }))
    }
}

/// The equalities of a join's condition, and what is left of it.
fn equalities(join: &Join) -> datafusion::common::Result<(Pairs, Option<Expr>)> {
    let mut pairs = join.on.clone();
    let mut rest = Vec::new();
    for part in join.filter.iter().flat_map(|f| split_conjunction_owned(f.clone())) {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = &part
            && let Some(pair) =
                find_valid_equijoin_key_pair(left, right, join.left.schema(), join.right.schema())?
        {
            pairs.push(pair);
        } else {
            rest.push(part);
        }
    }
    Ok((pairs, conjunction(rest)))
}

/// Takes the pair of windows out: written as a whole, or as its start and its end.
fn windows_and_keys(join: &Join, pairs: Pairs) -> (Option<(Expr, Expr)>, Pairs) {
    let is_window =
        |expr: &Expr, schema: &dyn ExprSchema| expr.get_type(schema).is_ok_and(|t| t == window_type());
    let both = |(l, r): &(Expr, Expr)| {
        is_window(l, join.left.schema().as_ref()) && is_window(r, join.right.schema().as_ref())
    };
    let (mut windows, mut keys): (Pairs, Pairs) = pairs.into_iter().partition(both);
    if windows.is_empty() {
        let bound = |(l, r): &(Expr, Expr), name: &str| Some((bound_of(l, name)?, bound_of(r, name)?));
        let starts = keys.iter().filter_map(|p| bound(p, "start")).filter(&both).collect::<Vec<_>>();
        let ends = keys.iter().filter_map(|p| bound(p, "end")).collect::<Vec<_>>();
        windows = starts.into_iter().filter(|pair| ends.contains(pair)).collect();
        if !windows.is_empty() {
            keys.retain(|p| bound(p, "start").or_else(|| bound(p, "end")).is_none());
        }
    }
    (windows.into_iter().next(), keys)
}

/// What `expr` takes the field `name` of.
fn bound_of(expr: &Expr, name: &str) -> Option<Expr> {
    match expr {
        Expr::Alias(alias) => bound_of(&alias.expr, name),
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => {
            let field = call.args.get(1)?.to_string();
            field.contains(name).then(|| call.args[0].clone())
        }
        _ => None,
    }
}
