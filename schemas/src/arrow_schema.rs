//! Arrow schemas of what travels between crates.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The one timestamp type of stored tables: microseconds, UTC.
#[must_use]
pub fn utc_micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Columns of the bronze table `events`, the same fields as [`crate::Admitted`].
#[must_use]
pub fn events_schema() -> SchemaRef {
    let text = |name: &str, null: bool| Field::new(name, DataType::Utf8, null);
    Arc::new(Schema::new(vec![
        text("event_id", false),
        text("user_id", false),
        text("device_id", true),
        text("source", true),
        text("app_version", true),
        text("kind", false),
        Field::new("event_time", utc_micros(), false),
        Field::new("tz_offset_min", DataType::Int64, true),
        text("tz", true),
        Field::new("received_at", utc_micros(), false),
        Field::new("schema_version", DataType::Int64, false),
        text("payload", false),
    ]))
}

/// The columns of `note_labels`: a row a label of what a person wrote, and one of kind `importance` for each text.
///
/// | column | meaning |
/// |---|---|
/// | `source_kind`, `source_id`, `chunk`, `revision` | the text: `note` or `journal` and the event's id, or `chat` and `conversation#turn` |
/// | `event_time` | when it happened |
/// | `kind`, `label` | `craving`, `craved`, `trigger`, `company`, `place`, `emotion` or `importance`, and which |
/// | `confidence` | 0 to 1: that it holds, or, in another scope than `own`, that it does not; of an importance, how much |
/// | `scope` | `own`: of the writer and of now; else `denied`, `past`, `other`, `supposed` |
/// | `span_start`, `span_end` | the bytes of the text that say so |
/// | `model_version`, `labelled_at` | who said so, and when it was written |
#[must_use]
pub fn note_labels_schema() -> SchemaRef {
    let column = |name: &str, of: DataType| Field::new(name, of, false);
    Arc::new(Schema::new(vec![
        column("user_id", DataType::Utf8),
        column("source_kind", DataType::Utf8),
        column("source_id", DataType::Utf8),
        column("chunk", DataType::Int64),
        column("revision", DataType::Int64),
        column("event_time", utc_micros()),
        column("kind", DataType::Utf8),
        column("label", DataType::Utf8),
        column("confidence", DataType::Float64),
        column("scope", DataType::Utf8),
        column("span_start", DataType::Int64),
        column("span_end", DataType::Int64),
        column("model_version", DataType::Utf8),
        column("labelled_at", utc_micros()),
    ]))
}
