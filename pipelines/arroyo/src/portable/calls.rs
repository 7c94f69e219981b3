//! Every function call: whether Arroyo has it, and whether its windows are ones that Arroyo can run.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Interval,
    Query, Select, SelectItem, SetExpr, Spanned as _, Value, Visit, visit_expressions,
};

use super::{
    finding::Findings,
    functions::{TIME_WINDOWS, is_known},
    script::{At, Script, folded_name},
};

/// Ours that give BOOLEAN, which a UDF of Arroyo cannot: there it is the text `true` or `false`.
const TEXT_BOOLEANS: [&str; 1] = ["tz_known"];

pub(super) fn check(script: &Script, findings: &mut Findings<'_>) {
    let udfs = crave_udfs::arroyo_udfs();
    let ours: Vec<&str> = udfs.iter().map(|udf| udf.name).collect();
    for view in &script.views {
        walk(&*view.query, &ours, &mut Vec::new(), findings);
    }
    for insert in &script.inserts {
        // A sink casts what it is given, so that a text is as good as a boolean there.
        let mut cast = projected(&insert.query);
        walk(&*insert.query, &ours, &mut cast, findings);
    }
    for table in &script.tables {
        let generated = table.columns.iter().filter_map(|c| c.generated.as_ref());
        for expr in generated.chain(table.watermark.iter().filter_map(|w| w.expr.as_ref())) {
            walk(expr, &ours, &mut Vec::new(), findings);
        }
    }
}

/// `cast`: places of calls whose result is cast.
fn walk<V: Visit>(of: &V, ours: &[&str], cast: &mut Vec<At>, findings: &mut Findings<'_>) {
    let _: ControlFlow<()> = visit_expressions(of, |expr| {
        match expr {
            Expr::Cast { expr, data_type: DataType::Boolean | DataType::Bool, .. } => {
                cast.extend(call_place(expr));
            }
            Expr::Function(call) => one(call, ours, cast, findings),
            _ => {}
        }
        ControlFlow::Continue(())
    });
}

fn one(call: &Function, ours: &[&str], cast: &[At], findings: &mut Findings<'_>) {
    let name = folded_name(&call.name);
    let at = At::from(call.name.span().start);
    if !is_known(&name, ours) {
        let instead = "use a function of DataFusion 48, or add it to udfs/ for both engines";
        findings.stop(at, "function", format!("Arroyo has no function {name}()"), instead);
    }
    if TEXT_BOOLEANS.contains(&name.as_str()) && !cast.contains(&at) {
        let reason =
            format!("{name}() gives 'true' or 'false' as TEXT in Arroyo, whose UDFs have no booleans");
        findings.stop(at, "udf-boolean", reason, format!("write CAST({name}(…) AS BOOLEAN)"));
    }
    if TIME_WINDOWS.contains(&name.as_str()) {
        window(&name, at, call, findings);
    }
}

fn window(name: &str, at: At, call: &Function, findings: &mut Findings<'_>) {
    let lengths: Vec<_> = arguments(call).into_iter().map(length).collect();
    let (wanted, form) = match name {
        "hop" => (2, "hop(INTERVAL '…' slide, INTERVAL '…' width)"),
        _ => (1, "one INTERVAL '…'"),
    };
    if lengths.len() != wanted {
        findings.stop(at, "window", format!("{name}() takes {form}"), "give it that");
        return;
    }
    if lengths.iter().any(|l| matches!(l, Some(Length::Months))) {
        findings.stop(at, "window", "Arroyo's windows have no months, which differ in length", "write days");
    }
    if let [Some(Length::Nanos(slide)), Some(Length::Nanos(width))] = lengths[..] {
        if slide == 0 || width % slide != 0 {
            let reason = "the width of a hop must be a multiple of its slide in Arroyo";
            findings.stop(at, "hop", reason, "choose a slide that divides the width");
        } else if slide < width {
            let reason = "Arroyo 0.16-dev loses the windows of a hop after a gap longer than its width (cases/hop_short)";
            findings.note(at, "fault", reason, "expect windows of rare keys to be missing there");
        }
    }
    if name == "session" {
        let reason = "Arroyo 0.16-dev counts the first row after a gap into the session before it (cases/session_global)";
        findings.note(at, "fault", reason, "expect fewer, longer sessions there");
    }
}

/// Its arguments; none when one of them is named or a star.
fn arguments(call: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &call.args else { return Vec::new() };
    list.args.iter().map(plain).collect::<Option<Vec<_>>>().unwrap_or_default()
}

const fn plain(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Nanos(u128),
    Months,
}

/// The length of an `INTERVAL` literal; `None` when it is none, which planning says better.
pub(super) fn length(expr: &Expr) -> Option<Length> {
    let Expr::Interval(Interval { value, leading_field, .. }) = expr else { return None };
    let Expr::Value(value) = value.as_ref() else { return None };
    let text = match &value.value {
        Value::SingleQuotedString(text) => text.to_lowercase(),
        Value::Number(text, _) => text.clone(),
        _ => return None,
    };
    let mut words = text.split_whitespace().peekable();
    let mut total = 0_u128;
    while let Some(number) = words.next() {
        let number: u128 = number.parse().ok()?;
        let unit = match (words.next(), leading_field) {
            (Some(unit), _) => unit.trim_end_matches('s').to_owned(),
            (None, Some(field)) => field_name(field),
            (None, None) => "second".into(),
        };
        let nanos: u128 = match unit.as_str() {
            "nanosecond" => 1,
            "microsecond" => 1_000,
            "millisecond" => 1_000_000,
            "second" | "sec" => 1_000_000_000,
            "minute" | "min" => 60_000_000_000,
            "hour" => 3_600_000_000_000,
            "day" => 86_400_000_000_000,
            "week" => 604_800_000_000_000,
            "month" | "year" | "decade" | "century" => return Some(Length::Months),
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(nanos)?)?;
    }
    Some(Length::Nanos(total))
}

fn field_name(field: &DateTimeField) -> String {
    field.to_string().to_lowercase().trim_end_matches('s').to_owned()
}

/// Places of the calls that are a whole column of an INSERT.
fn projected(query: &Query) -> Vec<At> {
    selects(&query.body)
        .into_iter()
        .flat_map(|s| &s.projection)
        .filter_map(|item| call_place(item_expr(item)?))
        .collect()
}

fn call_place(expr: &Expr) -> Option<At> {
    match expr {
        Expr::Function(call) => Some(call.name.span().start.into()),
        Expr::Nested(inner) => call_place(inner),
        _ => None,
    }
}

/// The SELECTs whose rows a query gives, those of a UNION apart.
pub(super) fn selects(body: &SetExpr) -> Vec<&Select> {
    match body {
        SetExpr::Select(select) => vec![select],
        SetExpr::Query(query) => selects(&query.body),
        SetExpr::SetOperation { left, right, .. } => [selects(left), selects(right)].concat(),
        _ => Vec::new(),
    }
}

pub(super) const fn item_expr(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}
