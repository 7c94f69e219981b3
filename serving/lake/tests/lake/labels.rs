//! `note_labels_current`: every text as one version read it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use crave_schemas::note_labels_schema;
use serde_json::json;

use crate::support::{register, rows, session};

/// Source, kind, label, version, and when it was written.
type Row = (&'static str, &'static str, &'static str, &'static str, i64);

fn table(rows: &[Row]) -> RecordBatch {
    let text = |of: &dyn Fn(&Row) -> &'static str| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>())
    };
    let zeros = || -> ArrayRef { Arc::new(Int64Array::from(vec![0; rows.len()])) };
    let times = |of: &dyn Fn(&Row) -> i64| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(of));
        Arc::new(times.with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        text(&|_| "ann"),
        text(&|_| "note"),
        text(&|row| row.0),
        zeros(),
        zeros(),
        times(&|_| 0),
        text(&|row| row.1),
        text(&|row| row.2),
        Arc::new(Float64Array::from(vec![0.5; rows.len()])),
        text(&|_| "own"),
        zeros(),
        zeros(),
        text(&|row| row.3),
        times(&|row| row.4),
    ];
    RecordBatch::try_new(note_labels_schema(), columns).unwrap()
}

#[tokio::test]
async fn a_person_sees_the_newest_version_that_has_read_all() {
    let old: &[Row] = &[
        ("a", "importance", "importance", "v1", 1),
        ("a", "emotion", "sad", "v1", 1),
        ("b", "importance", "importance", "v1", 2),
        ("b", "emotion", "calm", "v1", 2),
    ];
    let half: &[Row] = &[("a", "importance", "importance", "v2", 9), ("a", "emotion", "happy", "v2", 9)];
    let rest: &[Row] = &[("b", "importance", "importance", "v2", 10), ("b", "emotion", "proud", "v2", 10)];
    let new: &[Row] = &[("c", "importance", "importance", "v2", 8), ("c", "emotion", "angry", "v2", 8)];
    // Twice the same, as a job that begins anew tells it.
    let again: &[Row] = &[("a", "importance", "importance", "v1", 5), ("a", "emotion", "sad", "v1", 5)];
    let cases = [
        (vec![old], json!([["a", "sad"], ["b", "calm"]])),
        (vec![old, again], json!([["a", "sad"], ["b", "calm"]])),
        (vec![old, half], json!([["a", "sad"], ["b", "calm"]])),
        (vec![old, half, new], json!([["a", "sad"], ["b", "calm"], ["c", "angry"]])),
        (vec![old, half, rest], json!([["a", "happy"], ["b", "proud"]])),
        (vec![old, half, rest, new], json!([["a", "happy"], ["b", "proud"], ["c", "angry"]])),
    ];
    for (parts, expected) in cases {
        let lake = session();
        register(&lake, "note_labels", table(&parts.concat()));
        crave_lake::register_views(&lake).await.unwrap();
        let query = "SELECT source_id, label FROM note_labels_current WHERE kind = 'emotion' ORDER BY 1, 2";
        assert_eq!(json!(rows(&lake, query).await), expected);
    }
}
