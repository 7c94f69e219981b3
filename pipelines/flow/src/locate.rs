//! Where in the SQL text something stands that the planner refuses: plans have forgotten it, the syntax tree not.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Query, Select, SelectItem, SetExpr, Spanned, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::Location;
use crate::functions::is_window_name;
use crate::parse::folded;

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Find<'a> {
    /// A call of this function.
    Function(&'a str),
    /// A call of `tumble`, `hop` or `session`.
    Window,
    /// `OVER`.
    Over,
    OrderBy,
    Limit,
    Distinct,
    GroupBy,
    Join,
    /// A query inside an expression.
    Subquery,
    With,
    Select,
}

/// The first place of it in the first query that has one.
pub(crate) fn locate(find: &Find<'_>, queries: &[&Query]) -> Option<Location> {
    queries.iter().find_map(|query| {
        let mut search = Search { find: *find, depth: 0 };
        match query.visit(&mut search) {
            ControlFlow::Break(span) => Location::of(span),
            ControlFlow::Continue(()) => None,
        }
    })
}

struct Search<'a> {
    find: Find<'a>,
    /// Expressions around the query at hand.
    depth: usize,
}

impl Search<'_> {
    fn select(&self, select: &Select) -> Option<Span> {
        let first = || select.projection.iter().map(SelectItem::span).next();
        match self.find {
            Find::Select => Some(select.span()),
            Find::Distinct => match &select.distinct {
                Some(Distinct::On(columns)) => columns.first().map(Spanned::span).or_else(first),
                Some(_) => first(),
                None => None,
            },
            Find::GroupBy => match &select.group_by {
                GroupByExpr::Expressions(exprs, _) => exprs.first().map(Spanned::span),
                GroupByExpr::All(_) => first(),
            },
            Find::Join => {
                let joined = select.from.iter().find_map(|from| from.joins.first());
                joined.map(|j| j.relation.span()).or_else(|| select.from.get(1).map(Spanned::span))
            }
            _ => None,
        }
    }

    fn query(&self, query: &Query) -> Option<Span> {
        match self.find {
            Find::OrderBy => query.order_by.as_ref().map(Spanned::span),
            Find::Limit => query
                .limit_clause
                .as_ref()
                .map(Spanned::span)
                .or_else(|| query.fetch.is_some().then(|| query.span())),
            Find::With => query.with.as_ref().map(Spanned::span),
            Find::Subquery if self.depth > 0 => Some(query.span()),
            _ => None,
        }
    }
}

fn found(span: Option<Span>) -> ControlFlow<Span> {
    match span {
        Some(span) if span != Span::empty() => ControlFlow::Break(span),
        _ => ControlFlow::Continue(()),
    }
}

impl Visitor for Search<'_> {
    type Break = Span;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Span> {
        found(self.query(query))?;
        fn selects<'a>(body: &'a SetExpr, into: &mut Vec<&'a Select>) {
            match body {
                SetExpr::Select(select) => into.push(select),
                SetExpr::SetOperation { left, right, .. } => {
                    selects(left, into);
                    selects(right, into);
                }
                _ => {}
            }
        }
        let mut all = Vec::new();
        selects(&query.body, &mut all);
        found(all.into_iter().find_map(|select| self.select(select)))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Span> {
        self.depth += 1;
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let name = call.name.0.last().and_then(|p| p.as_ident()).map(folded).unwrap_or_default();
        let wanted = match self.find {
            Find::Function(wanted) => name == wanted,
            Find::Window => is_window_name(&name),
            Find::Over => call.over.is_some(),
            _ => false,
        };
        found(wanted.then(|| call.name.span()))
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Span> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}
