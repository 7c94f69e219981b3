//! Our functions in the types that Arroyo's UDFs know, each once: compiled here for the tests, and as text for Arroyo.
//!
//! `arroyo-udf-plugin` 0.2 takes `i64`, `f64` and `&str`, and gives `i64`, `f64` and `String`, each also in `Option`;
//! timestamps and booleans do not compile. So both travel as text: the planner casts an argument to TEXT by itself, and
//! a sink casts the result to its column's type. A parameter without `Option` gives NULL for NULL, as `registry` does.

/// Name, the modules of this crate that it needs, and its text after the name.
pub(super) struct Wrapper {
    pub(super) name: &'static str,
    pub(super) parts: &'static [&'static str],
    pub(super) text: &'static str,
}

macro_rules! wrappers {
    ($($name:ident needs $($part:ident),+: fn $args:tt -> $gives:ty $body:block)+) => {
        // Only their text is shipped; they are compiled to be tested.
        $(#[cfg(test)]
        #[allow(clippy::too_many_arguments)]
        pub(super) fn $name $args -> $gives $body)+

        /// Every wrapper.
        pub(super) const ALL: &[Wrapper] = &[$(Wrapper {
            name: stringify!($name),
            parts: &[$(stringify!($part)),+],
            text: concat!(stringify!($args), " -> ", stringify!($gives), " ", stringify!($body)),
        }),+];
    };
}

wrappers! {
    recency_weight needs recency: fn (age_days: f64, half_life_days: f64, floor: f64) -> f64 {
        crate::recency::recency_weight(age_days, half_life_days, floor)
    }

    day_part needs day: fn (hour: i64) -> Option<String> {
        crate::day::day_part(hour).map(str::to_owned)
    }

    season needs day: fn (month: i64, south: Option<&str>) -> Option<String> {
        crate::day::season(month, south == Some("true")).map(str::to_owned)
    }

    local_time needs local, times: fn (utc: &str, tz_offset_min: Option<i64>, tz: Option<&str>) -> Option<String> {
        let utc = crate::times::from_text(utc)?;
        Some(crate::times::to_text(crate::local::local_time(utc, tz_offset_min, tz)))
    }

    local_date needs local, times: fn (utc: &str, tz_offset_min: Option<i64>, tz: Option<&str>) -> Option<String> {
        let utc = crate::times::from_text(utc)?;
        Some(crate::local::local_time(utc, tz_offset_min, tz).date().to_string())
    }

    local_hour needs local, times: fn (utc: &str, tz_offset_min: Option<i64>, tz: Option<&str>) -> Option<i64> {
        let utc = crate::times::from_text(utc)?;
        Some(i64::from(chrono::Timelike::hour(&crate::local::local_time(utc, tz_offset_min, tz))))
    }

    local_dow needs local, times: fn (utc: &str, tz_offset_min: Option<i64>, tz: Option<&str>) -> Option<i64> {
        let day = crate::local::local_time(crate::times::from_text(utc)?, tz_offset_min, tz);
        Some(i64::from(chrono::Datelike::weekday(&day).num_days_from_sunday()))
    }

    tz_known needs local: fn (tz_offset_min: Option<i64>, tz: Option<&str>) -> String {
        crate::local::tz_known(tz_offset_min, tz).to_string()
    }

    sleep_minutes needs sleep: fn (payload: &str) -> Option<f64> {
        crate::sleep::sleep_minutes(payload)
    }

    trend_marker needs marker, times: fn (
        craving: &str, start: &str, end: &str, n: i64, sum_intensity: i64,
        night: Option<i64>, morning: Option<i64>, afternoon: Option<i64>, evening: Option<i64>, late_evening: Option<i64>,
        n_before: Option<i64>
    ) -> Option<String> {
        crate::marker::trend_marker(&crate::marker::Trend {
            craving: craving.to_owned(),
            start: crate::times::from_text(start)?,
            end: crate::times::from_text(end)?,
            n,
            sum_intensity,
            day_parts: [night, morning, afternoon, evening, late_evening].map(|count| count.unwrap_or(0)),
            n_before,
        })
    }

    period_marker needs marker, times: fn (
        grain: &str, craving: &str, start: &str, end: &str, n: i64, value_n: Option<i64>, sum_intensity: Option<f64>,
        night: Option<i64>, morning: Option<i64>, afternoon: Option<i64>, evening: Option<i64>, late_evening: Option<i64>,
        per_week_before: Option<f64>
    ) -> Option<String> {
        crate::marker::period_marker(&crate::marker::Period {
            grain: grain.to_owned(),
            craving: craving.to_owned(),
            start: crate::times::from_text(start)?,
            end: crate::times::from_text(end)?,
            n,
            value_n: value_n.unwrap_or(0),
            sum_intensity: sum_intensity.unwrap_or(0.0),
            day_parts: [night, morning, afternoon, evening, late_evening].map(|count| count.unwrap_or(0)),
            per_week_before,
        })
    }
}
