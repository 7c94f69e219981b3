//! Unit conversions of the exports: HealthKit's unit strings and the spellings other apps use.

/// Beats a minute in one `unit` of heart rate.
pub(crate) fn bpm(unit: &str) -> Option<f64> {
    match unit.to_ascii_lowercase().as_str() {
        "count/min" | "bpm" | "beats/min" => Some(1.0),
        "count/s" | "hz" => Some(60.0),
        _ => None,
    }
}

/// Milliseconds in one `unit`.
pub(crate) fn milliseconds(unit: &str) -> Option<f64> {
    match unit.to_ascii_lowercase().as_str() {
        "us" | "µs" => Some(0.001),
        _ => seconds(unit).map(|s| s * 1_000.0),
    }
}

/// Seconds in one `unit`.
pub(crate) fn seconds(unit: &str) -> Option<f64> {
    match unit.to_ascii_lowercase().as_str() {
        "ms" => Some(0.001),
        "s" | "sec" | "second" | "seconds" => Some(1.0),
        "min" | "minute" | "minutes" => Some(60.0),
        "hr" | "h" | "hour" | "hours" => Some(3_600.0),
        _ => None,
    }
}

/// Metres in one `unit`.
pub(crate) fn metres(unit: &str) -> Option<f64> {
    match unit.to_ascii_lowercase().as_str() {
        "m" => Some(1.0),
        "km" => Some(1_000.0),
        "cm" => Some(0.01),
        "mi" => Some(1_609.344),
        "ft" => Some(0.304_8),
        "yd" => Some(0.914_4),
        "in" => Some(0.025_4),
        _ => None,
    }
}

/// Kilocalories in one `unit`. HealthKit's `Cal` is a kilocalorie, its `cal` a thousandth of one.
pub(crate) fn kilocalories(unit: &str) -> Option<f64> {
    match unit {
        "kcal" | "Cal" | "KCAL" | "Kcal" => Some(1.0),
        "cal" => Some(0.001),
        "kJ" | "kj" => Some(1.0 / 4.184),
        "J" => Some(1.0 / 4_184.0),
        _ => None,
    }
}

/// A count.
pub(crate) fn count(unit: &str) -> Option<f64> {
    matches!(unit.to_ascii_lowercase().as_str(), "count" | "steps" | "").then_some(1.0)
}

/// Seconds as whole numbers, when they are a possible length of time.
pub(crate) fn whole_seconds(seconds: f64) -> Option<u32> {
    let rounded = seconds.round();
    // In range by the check, so the cast is exact.
    (rounded.is_finite() && (0.0..=f64::from(u32::MAX)).contains(&rounded)).then_some(rounded as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_convert() {
        assert_eq!(milliseconds("s"), Some(1_000.0));
        assert_eq!(seconds("hr"), Some(3_600.0));
        assert_eq!(metres("mi"), Some(1_609.344));
        assert_eq!(kilocalories("Cal"), Some(1.0));
        assert_eq!(kilocalories("cal"), Some(0.001));
        assert_eq!(kilocalories("furlong"), None);
        assert_eq!(whole_seconds(-1.0), None);
        assert_eq!(whole_seconds(f64::NAN), None);
        assert_eq!(whole_seconds(31.736_802_517_374_36 * 60.0), Some(1_904));
    }
}
