//! Delta file statistics, of ids and times only: `_delta_log` must not repeat free text (PR-1).

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    compute::{max, max_string, min, min_string},
    datatypes::{DataType, TimeUnit, TimestampMicrosecondType},
    error::ArrowError,
};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The columns whose minima and maxima are kept, when a table has them.
pub(crate) const INDEXED: [&str; 6] =
    ["user_id", "event_id", "event_time", "received_at", "window_start", "window_end"];

/// A file's statistics in the form of the Delta protocol.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    /// Rows in the file.
    pub(crate) num_records: usize,
    /// Smallest value a column.
    pub(crate) min_values: BTreeMap<String, Value>,
    /// Largest value a column.
    pub(crate) max_values: BTreeMap<String, Value>,
    /// Nulls a column.
    pub(crate) null_count: BTreeMap<String, usize>,
}

impl Stats {
    /// Statistics of the rows of one file.
    pub(crate) fn of(batches: &[RecordBatch]) -> Result<Self, ArrowError> {
        let mut stats = Self::default();
        for batch in batches {
            stats.num_records += batch.num_rows();
            for name in INDEXED {
                let Some(column) = batch.column_by_name(name) else { continue };
                *stats.null_count.entry(name.into()).or_default() += column.null_count();
                let (low, high) = match column.data_type() {
                    DataType::Utf8 => {
                        let text = column.as_string::<i32>();
                        (min_string(text).map(Value::from), max_string(text).map(Value::from))
                    }
                    DataType::Timestamp(TimeUnit::Microsecond, _) => {
                        let times = column.as_primitive::<TimestampMicrosecondType>();
                        (min(times).map(instant), max(times).map(instant))
                    }
                    _ => continue,
                };
                keep(&mut stats.min_values, name, low, |new, old| new < old);
                keep(&mut stats.max_values, name, high, |new, old| new > old);
            }
        }
        Ok(stats)
    }
}

/// Fixed-width text, so that it sorts as the instants do.
fn instant(micros: i64) -> Value {
    let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    Value::from(at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

fn keep(
    values: &mut BTreeMap<String, Value>,
    name: &str,
    new: Option<Value>,
    better: fn(&str, &str) -> bool,
) {
    let Some(new) = new else { return };
    let worse = values
        .get(name)
        .is_some_and(|old| !better(new.as_str().unwrap_or_default(), old.as_str().unwrap_or_default()));
    if !worse {
        values.insert(name.into(), new);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn ids_and_times_are_kept_and_text_is_not() {
        let batch = |user: &str, time: i64| {
            let columns: [(&str, ArrayRef); 3] = [
                ("user_id", Arc::new(StringArray::from(vec![user]))),
                ("payload", Arc::new(StringArray::from(vec!["a secret"]))),
                ("event_time", Arc::new(TimestampMicrosecondArray::from(vec![time]).with_timezone("UTC"))),
            ];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let stats = Stats::of(&[batch("b", 1_000_000), batch("a", 0), batch("c", 2_500_000)]).unwrap();
        assert_eq!(
            (stats.num_records, &stats.min_values["user_id"], &stats.max_values["user_id"]),
            (3, &"a".into(), &"c".into())
        );
        assert_eq!(stats.max_values["event_time"], "1970-01-01T00:00:02.500000Z");
        assert!(!serde_json::to_string(&stats).unwrap().contains("secret"));
    }
}
