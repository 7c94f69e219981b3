//! JSON Schema documents for clients, generated from the Rust types and committed under `schemas/json/`.

use schemars::{JsonSchema, SchemaGenerator, schema_for};
use serde_json::{Value, json};

use crate::{
    ActivitySummary, Context, Correct, Craving, Journal, Kind, Lapse, Location, Measure, Mindful, Mood,
    Retract, SCHEMA_VERSION, Sleep, Source, Tally, Workout,
};

fn schema<T: JsonSchema>() -> Value {
    schema_for!(T).to_value()
}

fn payload(kind: Kind) -> Value {
    match kind {
        Kind::Craving => schema::<Craving>(),
        Kind::Lapse => schema::<Lapse>(),
        Kind::Mood => schema::<Mood>(),
        Kind::Journal => schema::<Journal>(),
        Kind::Context => schema::<Context>(),
        Kind::Location => schema::<Location>(),
        Kind::HrvSdnnMs | Kind::HrvRmssdMs | Kind::HeartRateBpm | Kind::RestingHeartRateBpm => {
            schema::<Measure>()
        }
        Kind::Steps | Kind::DistanceM => schema::<Tally>(),
        Kind::Sleep => schema::<Sleep>(),
        Kind::Workout => schema::<Workout>(),
        Kind::ActivitySummary => schema::<ActivitySummary>(),
        Kind::Mindful => schema::<Mindful>(),
        Kind::Correct => schema::<Correct>(),
        Kind::Retract => schema::<Retract>(),
    }
}

/// Every document with its file name: the envelope (`event.json`) and one a kind (`payload.KIND.json`).
#[must_use]
pub fn json_schemas() -> Vec<(String, Value)> {
    let mut generator = SchemaGenerator::default();
    let kind = Kind::json_schema(&mut generator).to_value();
    let source = Source::json_schema(&mut generator).to_value();
    let envelope = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "description": "One event of a person's log. (user_id, event_id) is the idempotency key.",
        "type": "object",
        "additionalProperties": false,
        "required": ["event_id", "source", "kind", "event_time", "payload"],
        "properties": {
            "schema_version": { "type": "integer", "minimum": 1, "maximum": SCHEMA_VERSION, "default": 1 },
            "event_id": { "type": "string", "format": "uuid" },
            "user_id": { "type": "string", "pattern": "^[A-Za-z0-9_.:@-]{1,64}$", "description": "Filled from the token over HTTP; required on Kafka." },
            "device_id": { "type": ["string", "null"], "pattern": "^[A-Za-z0-9_.:@-]{1,64}$" },
            "source": source,
            "app_version": { "type": ["string", "null"], "maxLength": 64 },
            "kind": kind,
            "event_time": { "type": "string", "format": "date-time", "description": "RFC 3339 with an offset; at most 5 minutes ahead, not before 1990." },
            "tz_offset_min": { "type": ["integer", "null"], "minimum": -720, "maximum": 840, "description": "Minutes east of UTC at event_time. Absent: taken from an offset written in event_time other than Z, else unknown." },
            "tz": { "type": ["string", "null"], "description": "IANA zone, such as Europe/Berlin." },
            "payload": { "type": "object", "description": "See payload.KIND.json." }
        }
    });
    let mut all = vec![("event.json".to_owned(), envelope)];
    all.extend(Kind::ALL.iter().map(|&kind| (format!("payload.{}.json", kind.as_str()), payload(kind))));
    all
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// The committed files equal the generated ones; `UPDATE=1 cargo test -p crave-schemas` writes them.
    #[test]
    fn committed_schemas_are_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
        if std::env::var_os("UPDATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
        }
        for (name, schema) in json_schemas() {
            let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
            let path = folder.join(&name);
            if std::env::var_os("UPDATE").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let committed = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(committed, text, "{name} is stale: run UPDATE=1 cargo test -p crave-schemas");
        }
    }
}
