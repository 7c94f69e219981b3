//! The JSON of the "Health Auto Export" app: `{"data": {"metrics": […], "workouts": […], …}}`.
//!
//! Read: `heart_rate` (its average; minimum and maximum have no time of their own), `heart_rate_variability` (SDNN),
//! `heart_rate_variability_rmssd`, `resting_heart_rate`, `step_count`, `walking_running_distance`, `mindful_minutes`,
//! `sleep_analysis` (summarised by night, or stage by stage) and workouts of both export versions. Every other point
//! or element is counted as `unsupported_type`.
//!
//! The file is streamed point by point. The app writes the members of a metric in any order: points that come before
//! the metric's name and units wait, up to 256 MiB. Formats after the app's wiki ("API Export – JSON Format").

mod json;
mod metric;
mod walk;
mod workout;

use std::io::BufRead;

use chrono::{DateTime, Utc};
use crave_schemas::UserId;

use super::{ImportReport, dry_run};

pub use walk::Items;

/// Reads the items of an export. `user` is whose export it is; `now` bounds the future.
pub fn items<R: BufRead>(read: R, user: &UserId, now: DateTime<Utc>) -> Items<R> {
    Items::new(read, user.clone(), now)
}

/// Reads a whole export from memory and counts: the entry for fuzzing.
#[must_use]
pub fn parse_bytes(bytes: &[u8], user: &UserId, now: DateTime<Utc>) -> ImportReport {
    dry_run(items(bytes, user, now))
}

#[cfg(test)]
mod tests;
