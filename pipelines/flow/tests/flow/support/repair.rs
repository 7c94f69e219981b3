//! What a caller does with dirty windows, in miniature: takes them from the batch (DESIGN FL-1).

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use crave_flow::{Output, WindowKind};
use serde_json::{Map, Value};

use super::json_rows;

type Row = Map<String, Value>;

/// The rows that the stream wrote, with every dirty window as the batch has it.
pub(crate) fn repaired(output: &Output, rows: Vec<Row>, dirty: &[RecordBatch], batch: &[Row]) -> Vec<Row> {
    let Some(first) = dirty.first() else { return rows };
    let keys = first.schema().fields()[2..].iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    let marks = json_rows(dirty);
    // Branches with windows of their own have no shape in common.
    let start = output.window_start.clone().unwrap_or_else(|| "window_start".into());
    let end = output.window_end.clone().unwrap_or_else(|| "window_end".into());
    let bounds = |row: &Row, start: &str, end: &str| (instant(row, start), instant(row, end));
    // NULL may be written or left out.
    let key = |row: &Row, name: &String| row.get(name).filter(|v| !v.is_null()).cloned();
    let same_keys = |a: &Row, b: &Row| keys.iter().all(|k| key(a, k) == key(b, k));
    let touched = |row: &Row| {
        let (from, to) = bounds(row, &start, &end);
        marks.iter().filter(|m| same_keys(m, row)).any(|m| {
            let (a, b) = bounds(m, "window_start", "window_end");
            // A session is dirty when it shares an instant with the mark; other windows are named by their bounds.
            match output.windows {
                Some(WindowKind::Session { .. }) => from < b && a < to,
                _ => (from, to) == (a, b),
            }
        })
    };
    let again = batch.iter().filter(|row| touched(row)).cloned().collect::<Vec<_>>();
    let overlaps = |row: &Row| {
        again.iter().filter(|a| same_keys(a, row)).any(|a| {
            let ((a, b), (from, to)) = (bounds(a, &start, &end), bounds(row, &start, &end));
            from < b && a < to
        })
    };
    // A session that the mark touches is another one now, also where the batch has none in its place (HAVING, a join).
    let session = matches!(output.windows, Some(WindowKind::Session { .. }));
    let replaced = |row: &Row| touched(row) || (session && overlaps(row));
    let mut all = rows;
    all.retain(|row| !replaced(row));
    all.extend(again);
    all
}

fn instant(row: &Row, column: &str) -> i64 {
    let text = row[column].as_str().unwrap().trim_end_matches('Z');
    let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").unwrap();
    time.and_utc().timestamp_nanos_opt().unwrap()
}

/// The rows that Debezium changes leave, as a multiset; taking back what is not there fails.
pub(crate) fn left_by(changes: &[Row]) -> Vec<Row> {
    let mut counts: BTreeMap<String, (Row, i64)> = BTreeMap::new();
    for change in changes {
        for (side, by) in [("before", -1), ("after", 1)] {
            let Some(row) = change.get(side).and_then(Value::as_object) else { continue };
            let entry = counts.entry(Value::from(row.clone()).to_string()).or_insert((row.clone(), 0));
            entry.1 += by;
            assert!(entry.1 >= 0, "{change:?} takes back what is not there");
        }
    }
    let rows = counts.into_values();
    rows.flat_map(|(row, count)| std::iter::repeat_n(row, usize::try_from(count).unwrap())).collect()
}
