//! Reads what other programs exported and turns it into events.
//!
//! In: bytes of a file (any `Read`). Out: an iterator of [`ImportItem`]s, each one validated
//! [`crave_schemas::Event`] or one [`Rejected`] with a reason, so that a caller only has to send events to the
//! log and count. Nothing here opens files, sends or remembers; memory is bounded by one record.
//!
//! **How it sums.** The unit counted is the *item*: what one source record says about one kind. An Apple Health
//! record is one item; a CSV row gives one item for each `[[event]]` of its map that applies (a Welltory row: SDNN,
//! RMSSD, heart rate, tags), and exactly one when it is refused whole or says nothing. Every item ends as accepted,
//! duplicate or refused by exactly one reason, so `read = accepted + duplicate + Σ refused`; the source records
//! themselves are counted beside it as `records`. Where a file ends in the middle, that is one refused item more,
//! the last, and `complete` is false.
//!
//! **Ids.** Exports have no ids, so an event's id is derived from the user and the identity of its record (type,
//! times in UTC, source, value). A second import, or the same record twice in one file, gives equal ids and adds
//! nothing: the log answers "duplicate". Where it answers "conflict" for a derived id, the record is the same too:
//! the phone wrote it in another zone's wall time after a journey (see [`ImportReport::note`]).
//!
//! **Resuming.** [`ImportItem::record`] numbers the source's records from 1. To resume, skip items up to the last
//! number that was acknowledged ([`after`]) and go on with the saved [`ImportReport`].

mod bounded;
mod draft;
mod error;
mod item;
mod report;
mod units;
mod when;

pub mod apple_health;
pub mod csv_map;
pub mod health_auto_export;

pub use error::ImportError;
pub use item::{ImportItem, Reason, Rejected, after};
pub use report::{ImportReport, Verdict, dry_run};

#[cfg(test)]
mod tests;
