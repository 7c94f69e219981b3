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
