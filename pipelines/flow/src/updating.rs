//! Queries without windows: their rows change as their input comes, and their state is kept for a time to live.
//!
//! Rows in and out carry their change ([`crate::debezium`]). State is never older than the `updating_ttl` of the
//! program after its key was last touched, by the clock of the process that runs; a key that comes back later
//! begins anew, and what was written of it stays. A restart counts as a touch.

mod aggregate;
mod join;
mod ttl;
mod weighted;

pub(crate) use aggregate::UpdatingAggregate;
pub(crate) use join::UpdatingJoin;

/// Rows of a batch that a stage of changes gives, at most (a few more at a key with many).
const OUTPUT_ROWS: usize = 8192;
/// Rows that wait for a barrier, at most, before a stage computes what they change.
const PENDING_ROWS_MAX: usize = 65_536;
