//! Apple Health: the `export.xml` of "Export All Health Data", plain, gzipped or in its `export.zip`.
//!
//! In: [`open`] turns a file into XML text; [`items`] turns the text into events. The text is streamed: memory is
//! bounded by one element (1 MiB), whatever the size of the export.
//!
//! Read: HRV (SDNN; RMSSD of iOS 27), heart rate, resting heart rate, steps, walking and running distance, sleep
//! (all spellings of its values), mindful sessions, workouts (totals as attributes up to iOS 15, as
//! `WorkoutStatistics` from iOS 16) and activity summaries. Every other record is counted as `unsupported_type`.
//! `Correlation` is only a bracket: its records stand in it and again at the top level, and so the second of the
//! two is a duplicate. The beat list inside an HRV record (whose times follow the phone's locale) is skipped.
//!
//! The prologue is skipped, not parsed: exports come with a DTD, without one and (iOS 16) with a broken one, and no
//! entity can be declared, so none can explode. Elements stand alone: a damaged one is refused, the next is read.
//!
//! Times are absolute; their offset is the one written, or that of the zone in `HKTimeZone` metadata, which is where
//! the record was made rather than where the phone was at export. An activity summary is a day without a zone.

mod archive;
mod element;
mod prologue;
mod record;
mod summary;
mod walk;
mod workout;

use std::io::BufRead;

use chrono::{DateTime, Utc};
use crave_schemas::UserId;

use super::{ImportReport, dry_run};

pub use archive::open;
pub use walk::Items;

/// Largest element, in bytes.
const ELEMENT_BYTES_MAX: u64 = 1024 * 1024;

/// Reads the items of an export.
///
/// `read` is the XML text, from [`open`]; `user` is whose export it is; `now` bounds the future.
pub fn items<R: BufRead>(read: R, user: &UserId, now: DateTime<Utc>) -> Items<R> {
    Items::new(read, user.clone(), now)
}

/// Reads a whole export from memory and counts: the entry for fuzzing.
#[must_use]
pub fn parse_bytes(bytes: &[u8], user: &UserId, now: DateTime<Utc>) -> ImportReport {
    match open(std::io::Cursor::new(bytes.to_vec())) {
        Ok(text) => dry_run(items(text, user, now)),
        Err(_) => ImportReport { complete: false, ..ImportReport::default() },
    }
}

#[cfg(test)]
mod tests;
