//! Time asleep in a `sleep` payload.

use serde::Deserialize;

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    stages: Vec<Span<'a>>,
}

#[derive(Deserialize)]
struct Span<'a> {
    stage: &'a str,
    duration_s: f64,
}

/// Minutes asleep: the stages but `in_bed` and `awake`. `None` when the payload is no sleep, or only says that
/// the person was in bed (then nobody knows whether they slept).
#[must_use]
pub fn sleep_minutes(payload: &str) -> Option<f64> {
    let payload: Payload<'_> = serde_json::from_str(payload).ok()?;
    if payload.stages.iter().all(|s| s.stage == "in_bed") {
        return None;
    }
    let asleep = payload.stages.iter().filter(|s| !matches!(s.stage, "in_bed" | "awake"));
    Some(asleep.map(|s| s.duration_s).sum::<f64>() / 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sleep_counts() {
        let table = [
            (
                r#"{"stages": [{"stage": "in_bed", "duration_s": 9000}, {"stage": "core", "duration_s": 3600},
                 {"stage": "awake", "duration_s": 600}, {"stage": "deep", "duration_s": 1800}]}"#,
                Some(90.0),
            ),
            (r#"{"stages": [{"stage": "awake", "duration_s": 60}]}"#, Some(0.0)),
            (r#"{"stages": [{"stage": "in_bed", "duration_s": 60}]}"#, None),
            (r#"{"stages": []}"#, None),
            (r#"{"value": 3}"#, None),
            ("{", None),
        ];
        for (payload, minutes) in table {
            assert_eq!(sleep_minutes(payload), minutes, "{payload}");
        }
    }
}
