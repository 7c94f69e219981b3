//! Anything tabular, through a map: a TOML file that says which columns become which events.
//!
//! In: a CSV text with a header line, and a [`CsvMap`]. Out: for each row one item an `[[event]]` that applies, or
//! exactly one when the row is refused whole or says nothing. Memory is bounded by one row (4 MiB).
//!
//! ```toml
//! name = "my-diary"                       # part of every event's identity: keep it
//! delimiter = ";"                         # default ","; also `quote`, `comment`, `decimal` (default ".")
//! blank = ["NA"]                          # cells that count as blank, besides empty ones
//! user = { column = "who" }               # or { const = "u1" }; left out: the user of the import
//!
//! [time]
//! columns = ["day", "clock"]              # joined by one space
//! formats = ["%Y-%m-%d %H:%M", "unix_s"]  # tried in order (chrono's strftime; unix_s, unix_ms, auto)
//! zone = "Europe/Berlin"                  # IANA, "+02:00", "UTC" or "unknown" (default: read as UTC, marked)
//! zone_column = "tz"                      # a zone a row, where it is not blank
//!
//! [[event]]
//! kind = "craving"
//! when = ["what"]                         # only where these columns are not blank
//! unless = ["deleted"]                    # and these are
//! [event.fields]
//! craving = { column = "what", values = { "Süßes" = "sugar" } }
//! intensity = { column = "strength", type = "integer", scale = 0.1 }
//! resisted = { column = "gave_in", type = "bool", values = { yes = "false", no = "true" } }
//! place = { const = "home" }
//! # tags = { column = "tags", type = "tags", split = ";" }
//! # stages = { list = [{ when = ["rem_s"], fields = { stage = { const = "rem" }, … } }] }
//! ```

mod bind;
mod cell;
mod map;
mod rows;
mod time;

use std::io::Read;

use chrono::{DateTime, Utc};
use crave_schemas::UserId;

use super::{ImportError, ImportReport, dry_run};

pub use map::CsvMap;
pub use rows::Items;

/// Reads the items of a CSV text.
///
/// `user` is whose rows they are, where the map does not tell; `now` bounds the future.
///
/// # Errors
/// [`ImportError`] when there is no header line, a column of the map is not in it, or neither the map nor the
/// caller tells the user.
pub fn items<R: Read>(
    read: R,
    map: &CsvMap,
    user: Option<&UserId>,
    now: DateTime<Utc>,
) -> Result<Items<R>, ImportError> {
    Items::new(read, map, user.cloned(), now)
}

/// Reads a whole CSV text from memory and counts: the entry for fuzzing.
#[must_use]
pub fn parse_bytes(bytes: &[u8], map: &CsvMap, user: &UserId, now: DateTime<Utc>) -> ImportReport {
    match items(bytes, map, Some(user), now) {
        Ok(items) => dry_run(items),
        Err(_) => ImportReport { complete: false, ..ImportReport::default() },
    }
}

#[cfg(test)]
mod tests;
