//! `tumble`, `hop` and `session` as they stand in SQL, and the two functions a batch evaluates instead.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, TimestampNanosecondArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit, TimestampNanosecondType};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast;

use crate::WindowKind;

/// `TIMESTAMP` without a zone, in nanoseconds.
pub(crate) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// The fields of the struct that is a window.
pub(crate) fn window_fields() -> Fields {
    Fields::from(vec![Field::new("start", TIMESTAMP, false), Field::new("end", TIMESTAMP, false)])
}

/// The type of a window: `struct(start, end)`.
pub(crate) fn window_type() -> DataType {
    DataType::Struct(window_fields())
}

/// A window column from starts and ends.
pub(crate) fn window_array(start: TimestampNanosecondArray, end: TimestampNanosecondArray) -> StructArray {
    StructArray::new(window_fields(), vec![Arc::new(start), Arc::new(end)], None)
}

/// Registers the three names; they are replaced while planning and never evaluated.
pub(crate) fn register(context: &SessionContext) {
    for name in ["tumble", "hop", "session"] {
        context.register_udf(ScalarUDF::from(Marker {
            name,
            signature: Signature::variadic_any(Volatility::Volatile),
        }));
    }
}

/// Whether a function stands for windows in `GROUP BY`.
pub(crate) fn is_window_name(name: &str) -> bool {
    matches!(name, "tumble" | "hop" | "session")
}

/// A call of `tumble`, `hop` or `session`: its name and its intervals in nanoseconds.
pub(crate) fn window_call(expr: &Expr) -> Option<(&str, std::result::Result<Vec<i64>, String>)> {
    let expr = match expr {
        Expr::Alias(alias) => alias.expr.as_ref(),
        other => other,
    };
    let Expr::ScalarFunction(call) = expr else { return None };
    let name = call.func.name();
    if !is_window_name(name) {
        return None;
    }
    Some((name, call.args.iter().map(interval_ns).collect()))
}

/// The length of an SQL interval in nanoseconds.
pub(crate) fn sql_interval_ns(value: &ast::Expr) -> std::result::Result<i64, String> {
    let text = match value {
        ast::Expr::Interval(interval) => match (interval.value.as_ref(), &interval.leading_field) {
            (ast::Expr::Value(v), field) => {
                let text = match &v.value {
                    ast::Value::SingleQuotedString(text) | ast::Value::Number(text, _) => text.clone(),
                    other => other.to_string(),
                };
                field.as_ref().map_or(text.clone(), |field| format!("{text} {field}"))
            }
            _ => return Err("not a fixed interval".into()),
        },
        _ => return Err("not an INTERVAL".into()),
    };
    let parsed = arrow::compute::kernels::cast_utils::parse_interval_month_day_nano(&text);
    let parsed = parsed.map_err(|e| e.to_string())?;
    interval_ns(&Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(parsed)), None))
}

fn interval_ns(expr: &Expr) -> std::result::Result<i64, String> {
    const DAY_NS: i64 = 86_400_000_000_000;
    let ns = match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(v)), _) if v.months == 0 => {
            i64::from(v.days).checked_mul(DAY_NS).and_then(|d| d.checked_add(v.nanoseconds))
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(v)), _) => i64::from(v.days)
            .checked_mul(DAY_NS)
            .and_then(|d| d.checked_add(i64::from(v.milliseconds) * 1_000_000)),
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(_)), _) => {
            return Err("months differ in length; write a number of days".into());
        }
        _ => return Err("a window takes INTERVAL literals; write INTERVAL '1 day'".into()),
    };
    ns.filter(|ns| *ns > 0).ok_or_else(|| "a window must be longer than nothing".into())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Marker {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(window_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} stands in the GROUP BY of a stream only", self.name)
    }
}

/// A function of an instant: the one window of a tumble, or the list of windows of a hop.
pub(crate) fn windows_of(kind: WindowKind) -> ScalarUDF {
    ScalarUDF::from(WindowsOf { kind, signature: Signature::exact(vec![TIMESTAMP], Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowsOf {
    kind: WindowKind,
    signature: Signature,
}

impl ScalarUDFImpl for WindowsOf {
    fn name(&self) -> &str {
        match self.kind {
            WindowKind::Tumble { .. } => "flow_tumble",
            WindowKind::Hop { .. } => "flow_hop",
            WindowKind::Session { .. } => "flow_session",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            WindowKind::Tumble { .. } | WindowKind::Session { .. } => window_type(),
            WindowKind::Hop { .. } => DataType::List(Arc::new(Field::new_list_field(window_type(), true))),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let time = args.args[0].to_array(rows)?;
        let time = time.as_primitive::<TimestampNanosecondType>();
        let (mut starts, mut ends) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut offsets = vec![0_i32];
        for row in 0..rows {
            // A row without a time is in no window; the caller filters nulls of a tumble.
            if time.is_valid(row) || !matches!(self.kind, WindowKind::Hop { .. }) {
                for (start, end) in self.kind.windows(time.value(row)) {
                    starts.push(start);
                    ends.push(end);
                }
            }
            offsets.push(i32::try_from(starts.len()).unwrap_or(i32::MAX));
        }
        let windows = window_array(starts.into(), ends.into());
        let array: ArrayRef = match self.kind {
            WindowKind::Tumble { .. } | WindowKind::Session { .. } => Arc::new(windows),
            WindowKind::Hop { .. } => Arc::new(ListArray::try_new(
                Arc::new(Field::new_list_field(window_type(), true)),
                OffsetBuffer::new(ScalarBuffer::from(offsets)),
                Arc::new(windows),
                None,
            )?),
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// A function of a start and an end: the window that they bound.
pub(crate) fn window_of() -> ScalarUDF {
    let signature = Signature::exact(vec![TIMESTAMP, TIMESTAMP], Volatility::Immutable);
    ScalarUDF::from(WindowOf { signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowOf {
    signature: Signature,
}

impl ScalarUDFImpl for WindowOf {
    fn name(&self) -> &'static str {
        "flow_window"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(window_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bound = |at: usize| -> Result<TimestampNanosecondArray> {
            let array = args.args[at].to_array(args.number_rows)?;
            let array = array.as_primitive::<TimestampNanosecondType>();
            // Both come from rows that have a time.
            Ok(TimestampNanosecondArray::new(array.values().clone(), None))
        };
        Ok(ColumnarValue::Array(Arc::new(window_array(bound(0)?, bound(1)?))))
    }
}
