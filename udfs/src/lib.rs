//! The scalar functions of the platform's SQL, each a pure Rust function and its registration.
//!
//! In: columns of a query. Out: columns. The same functions serve streaming jobs, batch recompute, ad-hoc SQL
//! and (called as Rust) retrieval, so that one number has one meaning. Aggregates are plain SQL over sum, count,
//! min and max, so that panes merge. [`arroyo_udfs`] gives them to an Arroyo cluster.
//!
//! | in SQL | gives |
//! |---|---|
//! | `recency_weight(age_days, half_life_days, floor)` | [`recency_weight`] |
//! | `day_part(hour)` | [`day_part`] |
//! | `season(month, south)` | [`season`] |
//! | `local_time(utc, tz_offset_min, tz)` | [`local_time`] as TIMESTAMP without zone |
//! | `local_date(…)`, `local_hour(…)`, `local_dow(…)` | of [`local_time`]: `YYYY-MM-DD`, 0–23, 0 = Sunday |
//! | `tz_known(tz_offset_min, tz)` | [`tz_known`] |
//! | `sleep_minutes(payload)` | [`sleep_minutes`] |
//! | `trend_marker(…)` | [`trend_marker`] |
//! | `period_marker(…)` | [`period_marker`] |
//! | `extract_json_string(json, path)` | the first match if it is a string, as Arroyo's |
//! | `get_first_json_object(json, path)` | the first match as JSON text, as Arroyo's |
//! | `extract_json(json, path)` | all matches as a list of JSON texts, as Arroyo's |

mod arroyo;
mod day;
mod json;
mod local;
mod marker;
mod recency;
mod registry;
mod sleep;
// Part of Arroyo's text; compiled here to be tested.
#[cfg(test)]
mod times;

pub use arroyo::{ArroyoUdf, arroyo_udfs};
pub use day::{day_part, season};
pub use json::{JsonPath, JsonPathError};
pub use local::{local_time, tz_known};
pub use marker::{Period, Trend, period_marker, trend_marker};
pub use recency::{FULL_WEIGHT_DAYS, recency_weight};
pub use registry::{functions, register};
pub use sleep::sleep_minutes;
