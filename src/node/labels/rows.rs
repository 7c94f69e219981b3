//! Memories as rows of `note_labels`. Pure.

use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, Utc};
use crave_recall::{Memory, labelled::OneLabel};
use crave_schemas::note_labels_schema;

/// A row a label of those memories that carry labels.
pub(super) fn rows(memories: &[Memory], now: DateTime<Utc>) -> anyhow::Result<RecordBatch> {
    let labelled: Vec<_> = memories.iter().filter_map(|memory| Some((memory, memory.labelled()?))).collect();
    let rows: Vec<(&Memory, &str, &OneLabel)> = labelled
        .iter()
        .flat_map(|(memory, of)| of.labels.iter().map(move |one| (*memory, of.model_version.as_str(), one)))
        .collect();
    let text = |of: &dyn Fn(&(&Memory, &str, &OneLabel)) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let number = |of: &dyn Fn(&(&Memory, &str, &OneLabel)) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(of)))
    };
    let instant = |of: &dyn Fn(&Memory) -> DateTime<Utc>| -> ArrayRef {
        let times = rows.iter().map(|(memory, ..)| of(memory).timestamp_micros());
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let place = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
    let columns: Vec<ArrayRef> = vec![
        text(&|(memory, ..)| memory.user_id.to_string()),
        text(&|(memory, ..)| memory.source_kind.to_string()),
        text(&|(memory, ..)| memory.source_id.clone()),
        number(&|(memory, ..)| i64::from(memory.chunk)),
        number(&|(memory, ..)| i64::from(memory.revision)),
        instant(&|memory| memory.event_time),
        text(&|(_, _, one)| one.kind.clone()),
        text(&|(_, _, one)| one.label.clone()),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|(_, _, one)| f64::from(one.confidence)))),
        text(&|(_, _, one)| one.scope.clone()),
        number(&|(_, _, one)| place(one.span[0])),
        number(&|(_, _, one)| place(one.span[1])),
        text(&|(_, version, _)| (*version).to_owned()),
        instant(&|_| now),
    ];
    RecordBatch::try_new(note_labels_schema(), columns).context("rows of note_labels")
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray as _;
    use crave_recall::{
        SourceKind,
        labelled::{LABELS_ATTRIBUTE, Labelled},
    };
    use crave_schemas::UserId;

    use super::*;

    #[test]
    fn a_memory_has_a_row_a_label_and_one_without_labels_has_none() {
        let mut memory =
            Memory::new(UserId::new("ada").unwrap(), SourceKind::Note, "e1", DateTime::UNIX_EPOCH, "sad");
        assert_eq!(rows(std::slice::from_ref(&memory), DateTime::UNIX_EPOCH).unwrap().num_rows(), 0);
        let one = |kind: &str, label: &str| OneLabel {
            kind: kind.into(),
            label: label.into(),
            confidence: 0.5,
            scope: "own".into(),
            span: [0, 3],
        };
        let labels = vec![one("emotion", "sad"), one("importance", "importance")];
        let labelled = Labelled { model_version: "v1".into(), labels };
        memory.attributes.insert(LABELS_ATTRIBUTE.into(), serde_json::to_value(labelled).unwrap());
        let batch = rows(&[memory], DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(batch.num_rows(), 2);
        let of = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned();
        assert_eq!(["user_id", "label", "model_version"].map(of), ["ada", "sad", "v1"]);
    }
}
