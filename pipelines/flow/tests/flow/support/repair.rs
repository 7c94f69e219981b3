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
    // Branches with windows of their own have no shape in common.
    let start = output.window_start.clone().unwrap_or_else(|| "window_start".into());
    let end = output.window_end.clone().unwrap_or_else(|| "window_end".into());
    let bounds = |row: &Row, start: &str, end: &str| (instant(row, start), instant(row, end));
    // NULL may be written or left out.
    let key = |row: &Row, name: &String| row.get(name).filter(|v| !v.is_null()).cloned();
    let same_keys = |a: &Row, b: &Row| keys.iter().all(|k| key(a, k) == key(b, k));
    let mut marks: Vec<(Row, (i64, i64))> = json_rows(dirty)
        .into_iter()
        .map(|mark| {
            let bounds = bounds(&mark, "window_start", "window_end");
            (mark, bounds)
        })
        .collect();
    // A session is dirty when it shares an instant with a mark; other windows are named by their bounds.
    let session = matches!(output.windows, Some(WindowKind::Session { .. }));
    let touched = |row: &Row, marks: &[(Row, (i64, i64))]| {
        let (from, to) = bounds(row, &start, &end);
        marks
            .iter()
            .filter(|(m, _)| same_keys(m, row))
            .any(|(_, (a, b))| if session { from < *b && *a < to } else { (from, to) == (*a, *b) })
    };
    // What is replaced on one side may overlap what would stay on the other: grow until nothing does.
    loop {
        let wide = |row: &&Row| {
            let (from, to) = bounds(row, &start, &end);
            session
                && touched(row, &marks)
                && !marks.iter().any(|(m, (a, b))| same_keys(m, row) && *a <= from && to <= *b)
        };
        let more = rows.iter().chain(batch).filter(wide).cloned().collect::<Vec<_>>();
        if more.is_empty() {
            break;
        }
        marks.extend(more.into_iter().map(|row| {
            let bounds = bounds(&row, &start, &end);
            (row, bounds)
        }));
    }
    let again = batch.iter().filter(|row| touched(row, &marks)).cloned().collect::<Vec<_>>();
    let replaced = |row: &Row| touched(row, &marks);
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
