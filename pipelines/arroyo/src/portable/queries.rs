//! The shape of each query: over windows or not, appending or updating, and what Arroyo refuses of it.
//!
//! A query is followed from its sources to its sink: which of its columns are windows decides whether an aggregate
//! closes (and appends a row once) or goes on for ever (and updates it).

mod select;

use std::collections::{BTreeMap, BTreeSet};

use datafusion::sql::sqlparser::ast::{Expr, Query, SelectItem, SetExpr, Spanned as _};

use super::{
    calls::{item_expr, selects},
    finding::Findings,
    script::{At, Insert, Script, Table, folded},
    tables::{is_micros, is_timestamp},
};

/// What is known of the rows of a table, view or query.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    /// Columns that are windows.
    windows: BTreeSet<String>,
    /// Its rows belong to windows.
    windowed: bool,
    /// The windows are sessions.
    session: bool,
    /// Rows replace earlier ones.
    updating: bool,
    /// It is a UNION.
    union: bool,
}

/// Relations by name, while a program is read from top to bottom.
pub(super) type Relations = BTreeMap<String, Shape>;

pub(super) fn check(script: &Script, findings: &mut Findings<'_>) {
    let mut relations = Relations::new();
    for table in &script.tables {
        let updating = table.value("format") == Some("debezium_json");
        relations.insert(table.name.clone(), Shape { updating, ..Shape::default() });
    }
    for view in &script.views {
        let shape = query(&view.query, script, &relations, findings);
        relations.insert(view.name.clone(), shape);
    }
    for insert in &script.inserts {
        let shape = query(&insert.query, script, &relations, findings);
        if let Some(table) = script.table(&insert.table) {
            sink(table, insert, &shape, findings);
        }
    }
}

fn sink(table: &Table, insert: &Insert, shape: &Shape, findings: &mut Findings<'_>) {
    let debezium = table.value("format") == Some("debezium_json");
    let delta = table.connector() == "delta";
    if shape.updating && (delta || !debezium) {
        let reason = format!("the query updates rows, and {} only appends", table.name);
        let instead = if delta {
            "group by tumble, hop or session, so that each row is final; Delta takes no updates"
        } else {
            "group by tumble, hop or session, or give the sink format = 'debezium_json'"
        };
        findings.stop(insert.at, "append", reason, instead);
    }
    if delta {
        timestamps(table, insert, findings);
    }
}

/// Each timestamp column of a Delta sink is a CAST to TIMESTAMP(6).
fn timestamps(table: &Table, insert: &Insert, findings: &mut Findings<'_>) {
    for (i, column) in table.columns.iter().enumerate().filter(|(_, c)| is_timestamp(&c.data_type)) {
        let at = match insert.columns.is_empty() {
            true => Some(i),
            false => insert.columns.iter().position(|c| *c == column.name),
        };
        let Some(at) = at else { continue };
        for select in selects(&insert.query.body) {
            let instead = format!("write CAST(… AS TIMESTAMP(6)) for {}", column.name);
            let wildcard = select.projection.iter().take(at + 1).find(|item| item_expr(item).is_none());
            let item = wildcard.or_else(|| select.projection.get(at));
            let Some(item) = item else { continue };
            let cast = item_expr(item)
                .is_some_and(|e| matches!(e, Expr::Cast { data_type, .. } if is_micros(data_type)));
            if !cast {
                let reason = format!("{} of a Delta table is not cast to microseconds", column.name);
                findings.stop(item_place(item), "delta-timestamp", reason, instead);
            }
        }
    }
}

fn item_place(item: &SelectItem) -> At {
    item.span().start.into()
}

/// The shape of a query; findings on the way.
pub(super) fn query(of: &Query, script: &Script, outer: &Relations, findings: &mut Findings<'_>) -> Shape {
    let mut relations = outer.clone();
    for cte in of.with.iter().flat_map(|with| &with.cte_tables) {
        let mut shape = query(&cte.query, script, &relations, findings);
        rename(
            &mut shape,
            &cte.query,
            &cte.alias.columns.iter().map(|c| folded(&c.name)).collect::<Vec<_>>(),
        );
        relations.insert(folded(&cte.alias.name), shape);
    }
    if let Some(with) = of.with.as_ref().filter(|with| with.recursive) {
        let at = with.with_token.0.span.start.into();
        findings.stop(at, "query", "Arroyo has no recursive queries", "write the steps as views");
    }
    let at = of.span().start.into();
    if of.order_by.is_some() {
        findings.stop(
            at,
            "query",
            "a stream has no end to sort at: Arroyo refuses ORDER BY",
            "number rows with ROW_NUMBER() OVER (PARTITION BY window ORDER BY …)",
        );
    }
    if of.limit_clause.is_some() || of.fetch.is_some() {
        findings.stop(
            at,
            "query",
            "a stream has no end to count to: Arroyo refuses LIMIT",
            "keep the first rows with ROW_NUMBER() OVER (PARTITION BY window ORDER BY …) <= n",
        );
    }
    set(&of.body, script, &relations, findings)
}

fn set(of: &SetExpr, script: &Script, relations: &Relations, findings: &mut Findings<'_>) -> Shape {
    match of {
        SetExpr::Select(one) => select::shape(one, script, relations, findings),
        SetExpr::Query(inner) => query(inner, script, relations, findings),
        SetExpr::SetOperation { op, left, right, .. } => {
            let left_shape = set(left, script, relations, findings);
            let right_shape = set(right, script, relations, findings);
            if op.to_string() != "UNION" {
                let at = left.span().start.into();
                findings.stop(at, "query", format!("Arroyo has no {op}"), "write a join or a filter");
            }
            Shape {
                windows: left_shape.windows,
                windowed: left_shape.windowed && right_shape.windowed,
                session: left_shape.session || right_shape.session,
                updating: left_shape.updating || right_shape.updating,
                union: true,
            }
        }
        _ => Shape::default(),
    }
}

/// Applies the column names of `WITH name (a, b)` or `AS name (a, b)`.
pub(super) fn rename(shape: &mut Shape, query: &Query, names: &[String]) {
    let Some(first) = selects(&query.body).first().copied().filter(|_| !names.is_empty()) else { return };
    let old: Vec<_> =
        first.projection.iter().map(|item| select::output_name(item).unwrap_or_default()).collect();
    shape.windows = old
        .iter()
        .zip(names)
        .filter(|(old, _)| shape.windows.contains(*old))
        .map(|(_, new)| new.clone())
        .collect();
}
