//! The rows behind a fact, each in a line. Pure.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value as Json};

use crate::{DetailRow, measure::literal};

/// The query for the events with these ids as they stand now; `None` for none.
pub(super) fn query(ids: &[String]) -> Option<String> {
    let ids: Vec<_> = ids.iter().map(|id| literal(id)).collect();
    (!ids.is_empty()).then(|| {
        format!(
            "SELECT event_id, event_time, kind, payload FROM events_current WHERE event_id IN ({}) ORDER BY event_time DESC, event_id",
            ids.join(", ")
        )
    })
}

/// One of its rows.
pub(super) fn row(row: &Map<String, Json>) -> Option<DetailRow> {
    let text = |name: &str| row.get(name)?.as_str();
    let payload: Json = serde_json::from_str(text("payload")?).ok()?;
    Some(DetailRow {
        event_id: text("event_id")?.to_owned(),
        event_time: time(text("event_time")?)?,
        text: line(text("kind")?, &payload),
    })
}

/// A time as Arrow writes it, with or without its zone.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
    zoned.ok().or_else(|| text.parse::<NaiveDateTime>().ok().map(|at| at.and_utc()))
}

fn line(kind: &str, payload: &Json) -> String {
    let text = |name: &str| payload.get(name).and_then(Json::as_str).unwrap_or_default();
    let number = |name: &str| payload.get(name).map(ToString::to_string).unwrap_or_default();
    match kind {
        "craving" => {
            let mut line = format!("{} {}/10", text("craving"), number("intensity"));
            for (name, joint) in [("trigger", ", "), ("note", ": ")] {
                if !text(name).is_empty() {
                    line = format!("{line}{joint}{}", text(name));
                }
            }
            line
        }
        "hrv_sdnn_ms" => format!("SDNN {} ms", number("value")),
        "journal" => text("text").to_owned(),
        _ if !text("note").is_empty() => text("note").to_owned(),
        _ => kind.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_has_its_line() {
        let table = [
            (
                "craving",
                json!({"craving": "sugar", "intensity": 7, "trigger": "stress", "note": "so tired"}),
                "sugar 7/10, stress: so tired",
            ),
            ("craving", json!({"craving": "sugar", "intensity": 7}), "sugar 7/10"),
            ("hrv_sdnn_ms", json!({"value": 41.5}), "SDNN 41.5 ms"),
            ("journal", json!({"text": "A day."}), "A day."),
            ("mood", json!({"valence": 1, "note": "fine"}), "fine"),
            ("resting_heart_rate_bpm", json!({"value": 60}), "resting heart rate bpm"),
        ];
        for (kind, payload, expected) in table {
            assert_eq!(line(kind, &payload), expected);
        }
        assert_eq!(query(&[]), None);
        assert_eq!(time("2026-01-02T03:04:05.5"), time("2026-01-02T03:04:05.500Z"));
        assert!(time("2026-01-02T03:04:05Z").is_some() && time("x").is_none());
    }
}
