//! The functions as DataFusion sees them: argument types, columns in, a column out.
//!
//! Arguments are cast to the declared types while planning, so that `TIMESTAMP(6)`, UTC timestamps, small
//! integers and string views are taken alike. NULL in an argument that a function cannot do without gives NULL.

use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListBuilder, StringArray,
    StringBuilder, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, TimeUnit, TimestampNanosecondType};
use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};
use chrono_tz::Tz;
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionContext;

use crate::local::shifted;
use crate::{
    JsonPath, Period, Trend, day_part, period_marker, recency_weight, season, sleep_minutes, trend_marker,
    tz_known,
};

const TEXT: DataType = DataType::Utf8;
const BIGINT: DataType = DataType::Int64;
const DOUBLE: DataType = DataType::Float64;
const BOOLEAN: DataType = DataType::Boolean;
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// Registers every function with a session.
pub fn register(context: &SessionContext) {
    for function in functions() {
        context.register_udf(function);
    }
}

/// Every function.
#[must_use]
pub fn functions() -> Vec<ScalarUDF> {
    let texts = DataType::List(Arc::new(Field::new_list_field(TEXT, true)));
    let clock = || vec![TIMESTAMP, BIGINT, TEXT];
    let trend = [vec![TEXT, TIMESTAMP, TIMESTAMP], vec![BIGINT; 8]].concat();
    let calendar =
        [vec![TEXT, TEXT, TIMESTAMP, TIMESTAMP, BIGINT, BIGINT, DOUBLE], vec![BIGINT; 5], vec![DOUBLE]];
    [
        Function::new("recency_weight", vec![DOUBLE; 3], DOUBLE, recency),
        Function::new("day_part", vec![BIGINT], TEXT, part),
        Function::new("season", vec![BIGINT, BOOLEAN], TEXT, seasons),
        Function::new("local_time", clock(), TIMESTAMP, local_time),
        Function::new("local_date", clock(), TEXT, local_date),
        Function::new("local_hour", clock(), BIGINT, local_hour),
        Function::new("local_dow", clock(), BIGINT, local_dow),
        Function::new("tz_known", vec![BIGINT, TEXT], BOOLEAN, known),
        Function::new("sleep_minutes", vec![TEXT], DOUBLE, sleep),
        Function::new("trend_marker", trend, TEXT, marker),
        Function::new("period_marker", calendar.concat(), TEXT, calendar_marker),
        Function::new("extract_json_string", vec![TEXT, TEXT], TEXT, json_string),
        Function::new("get_first_json_object", vec![TEXT, TEXT], TEXT, json_first),
        Function::new("extract_json", vec![TEXT, TEXT], texts, json_all),
    ]
    .map(ScalarUDF::from)
    .into()
}

type Body = fn(&[ArrayRef], usize) -> Result<ArrayRef>;

/// A function of fixed types.
#[derive(Debug)]
struct Function {
    name: &'static str,
    signature: Signature,
    arguments: Vec<DataType>,
    gives: DataType,
    body: Body,
}

impl Function {
    fn new(name: &'static str, arguments: Vec<DataType>, gives: DataType, body: Body) -> Self {
        Self { name, signature: Signature::user_defined(Volatility::Immutable), arguments, gives, body }
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.gives.clone())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let fits = given.len() == self.arguments.len()
            && given.iter().zip(&self.arguments).all(|(given, wanted)| castable(given, wanted));
        if !fits {
            let wanted = self.arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let given = given.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return plan_err!("{} takes ({wanted}), not ({given})", self.name);
        }
        Ok(self.arguments.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        // Constants alone come as one row.
        let rows = columns.first().map_or(rows, |c| c.len());
        Ok(ColumnarValue::Array((self.body)(&columns, rows)?))
    }
}

fn castable(given: &DataType, wanted: &DataType) -> bool {
    match wanted {
        _ if *given == DataType::Null || given == wanted => true,
        DataType::Utf8 => matches!(given, DataType::LargeUtf8 | DataType::Utf8View),
        DataType::Int64 => given.is_integer(),
        DataType::Float64 => given.is_numeric(),
        DataType::Timestamp(..) => matches!(given, DataType::Timestamp(..) | DataType::Date32),
        _ => false,
    }
}

fn int(columns: &[ArrayRef], at: usize, row: usize) -> Option<i64> {
    let column = columns[at].as_primitive::<Int64Type>();
    column.is_valid(row).then(|| column.value(row))
}

fn text(columns: &[ArrayRef], at: usize, row: usize) -> Option<&str> {
    let column = columns[at].as_string::<i32>();
    column.is_valid(row).then(|| column.value(row))
}

fn time(columns: &[ArrayRef], at: usize, row: usize) -> Option<NaiveDateTime> {
    let column = columns[at].as_primitive::<TimestampNanosecondType>();
    column.is_valid(row).then(|| DateTime::from_timestamp_nanos(column.value(row)).naive_utc())
}

fn double(columns: &[ArrayRef], at: usize, row: usize) -> Option<f64> {
    let column = columns[at].as_primitive::<Float64Type>();
    column.is_valid(row).then(|| column.value(row))
}

fn recency(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let of = |at, row| double(columns, at, row);
    let weight = |row| Some(recency_weight(of(0, row)?, of(1, row)?, of(2, row)?));
    Ok(Arc::new((0..rows).map(weight).collect::<Float64Array>()))
}

fn part(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    Ok(Arc::new((0..rows).map(|row| day_part(int(columns, 0, row)?)).collect::<StringArray>()))
}

fn seasons(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let south = columns[1].as_boolean();
    let of = |row| season(int(columns, 0, row)?, south.is_valid(row) && south.value(row));
    Ok(Arc::new((0..rows).map(of).collect::<StringArray>()))
}

fn known(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let of = |row| Some(tz_known(int(columns, 0, row), text(columns, 1, row)));
    Ok(Arc::new((0..rows).map(of).collect::<BooleanArray>()))
}

/// The local time of each row; the zone is looked up once for equal neighbours.
fn locals(columns: &[ArrayRef], rows: usize) -> impl Iterator<Item = Option<NaiveDateTime>> {
    let mut last: (Option<&str>, Option<Tz>) = (None, None);
    (0..rows).map(move |row| {
        let zone = text(columns, 2, row);
        if zone != last.0 {
            last = (zone, zone.and_then(|z| Tz::from_str(z).ok()));
        }
        Some(shifted(time(columns, 0, row)?, int(columns, 1, row), last.1))
    })
}

fn local_time(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let ns = locals(columns, rows).map(|t| t?.and_utc().timestamp_nanos_opt());
    Ok(Arc::new(ns.collect::<TimestampNanosecondArray>()))
}

fn local_date(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    use std::fmt::Write;
    let mut dates = StringBuilder::with_capacity(rows, rows * 10);
    for time in locals(columns, rows) {
        match time {
            Some(time) => {
                write!(dates, "{}", time.date()).map_err(|e| exec_datafusion_err!("local_date: {e}"))?;
                dates.append_value("");
            }
            None => dates.append_null(),
        }
    }
    Ok(Arc::new(dates.finish()))
}

fn local_hour(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    Ok(Arc::new(locals(columns, rows).map(|t| Some(i64::from(t?.hour()))).collect::<Int64Array>()))
}

fn local_dow(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let day = |t: Option<NaiveDateTime>| Some(i64::from(t?.weekday().num_days_from_sunday()));
    Ok(Arc::new(locals(columns, rows).map(day).collect::<Int64Array>()))
}

fn sleep(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    Ok(Arc::new((0..rows).map(|row| sleep_minutes(text(columns, 0, row)?)).collect::<Float64Array>()))
}

/// `(craving, start, end, n, sum_intensity, night, morning, afternoon, evening, late_evening, n_before)`
fn marker(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let of = |row| {
        trend_marker(&Trend {
            craving: text(columns, 0, row)?.to_owned(),
            start: time(columns, 1, row)?,
            end: time(columns, 2, row)?,
            n: int(columns, 3, row)?,
            sum_intensity: int(columns, 4, row)?,
            day_parts: day_parts(columns, 5, row),
            n_before: int(columns, 10, row),
        })
    };
    Ok(Arc::new((0..rows).map(of).collect::<StringArray>()))
}

/// `(grain, craving, start, end, n, value_n, sum_intensity, night, …, late_evening, per_week_before)`
fn calendar_marker(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let of = |row| {
        period_marker(&Period {
            grain: text(columns, 0, row)?.to_owned(),
            craving: text(columns, 1, row)?.to_owned(),
            start: time(columns, 2, row)?,
            end: time(columns, 3, row)?,
            n: int(columns, 4, row)?,
            value_n: int(columns, 5, row).unwrap_or(0),
            sum_intensity: double(columns, 6, row).unwrap_or(0.0),
            day_parts: day_parts(columns, 7, row),
            per_week_before: double(columns, 12, row),
        })
    };
    Ok(Arc::new((0..rows).map(of).collect::<StringArray>()))
}

/// Five counts, from column `first` on.
fn day_parts(columns: &[ArrayRef], first: usize, row: usize) -> [i64; 5] {
    std::array::from_fn(|i| int(columns, first + i, row).unwrap_or(0))
}

/// Calls `found` with each row's text and path; the path is parsed once for equal neighbours.
fn with_paths(
    columns: &[ArrayRef],
    rows: usize,
    mut found: impl FnMut(Option<(&str, &JsonPath)>),
) -> Result<()> {
    let mut last: Option<(&str, JsonPath)> = None;
    for row in 0..rows {
        let (Some(json), Some(path)) = (text(columns, 0, row), text(columns, 1, row)) else {
            found(None);
            continue;
        };
        if last.as_ref().is_none_or(|(known, _)| *known != path) {
            last = Some((path, JsonPath::parse(path).map_err(|e| exec_datafusion_err!("{e}"))?));
        }
        found(last.as_ref().map(|(_, path)| (json, path)));
    }
    Ok(())
}

fn json_string(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let mut out = StringBuilder::new();
    with_paths(columns, rows, |at| match at.and_then(|(json, path)| path.first(json)) {
        Some(serde_json::Value::String(text)) => out.append_value(text),
        _ => out.append_null(),
    })?;
    Ok(Arc::new(out.finish()))
}

fn json_first(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let mut out = StringBuilder::new();
    with_paths(columns, rows, |at| {
        out.append_option(at.and_then(|(json, path)| path.first(json)).map(|v| v.to_string()));
    })?;
    Ok(Arc::new(out.finish()))
}

fn json_all(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let mut out = ListBuilder::new(StringBuilder::new());
    with_paths(columns, rows, |at| match at {
        None => out.append(false),
        Some((json, path)) => {
            for value in path.all(json) {
                out.values().append_value(value.to_string());
            }
            out.append(true);
        }
    })?;
    Ok(Arc::new(out.finish()))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::display::array_value_to_string;

    use super::*;

    #[tokio::test]
    async fn functions_answer_in_sql() {
        let context = SessionContext::new();
        register(&context);
        let table = [
            ("recency_weight(37, 7, 0)", "0.5"),
            ("recency_weight(NULL, 7, 0)", ""),
            ("day_part(22)", "late_evening"),
            ("season(7, true)", "winter"),
            ("local_date(TIMESTAMP '2026-01-10T23:30:00', 60, NULL)", "2026-01-11"),
            ("local_hour(TIMESTAMP '2026-01-10T23:30:00', NULL, 'Asia/Kolkata')", "5"),
            ("local_dow(TIMESTAMP '2026-01-11T12:00:00', NULL, NULL)", "0"),
            ("local_time(TIMESTAMP '2026-01-10T23:30:00', 60, NULL)", "2026-01-11T00:30:00"),
            ("local_hour(to_timestamp_micros(0), 90, NULL)", "1"),
            ("tz_known(NULL, NULL)", "false"),
            ("sleep_minutes('{\"stages\":[{\"stage\":\"rem\",\"duration_s\":90}]}')", "1.5"),
            ("extract_json_string('{\"a\":{\"b\":\"x\"}}', '$.a.b')", "x"),
            ("extract_json_string('{\"a\":1}', '$.a')", ""),
            ("get_first_json_object('{\"a\":1}', '$.a')", "1"),
            ("CAST(get_first_json_object('{\"a\":7}', '$.a') AS BIGINT) + 1", "8"),
            ("extract_json('[\"a\",2]', '$[*]')", "[\"a\", 2]"),
            (
                "trend_marker('sugar', TIMESTAMP '2026-01-03', TIMESTAMP '2026-02-02', 3, 12, 0, 0, 0, 0, 3, NULL)",
                "3 Jan – 1 Feb 2026: sugar cravings 0.7/week, 100 % between 21:00 and 24:00, mean intensity 4.0 (n = 3)",
            ),
            (
                "period_marker('month', 'sugar', DATE '2026-02-01', DATE '2026-03-01', 8, 8, 32.0, 0, 8, 0, 0, 0, 1.0)",
                "Feb 2026: sugar cravings 2.0/week, up 100 % on the month before, 100 % between 05:00 and 12:00, mean intensity 4.0 (n = 8)",
            ),
        ];
        for (sql, expected) in table {
            let batches = context.sql(&format!("SELECT {sql}")).await.unwrap().collect().await.unwrap();
            assert_eq!(array_value_to_string(batches[0].column(0), 0).unwrap(), expected, "{sql}");
        }
        for (sql, says) in [("day_part('x')", "takes"), ("extract_json_string('{}', 'a')", "write it like")] {
            let error = match context.sql(&format!("SELECT {sql}")).await {
                Ok(frame) => frame.collect().await.unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(error.contains(says), "{sql}: {error}");
        }
    }
}
