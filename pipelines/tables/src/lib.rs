//! The Delta tables: created, written, repaired, compacted and proved here, and nowhere else.
//!
//! In: rows of streaming jobs through [`DeltaConnector`], dirty windows through [`Observer`]. Out: Delta
//! tables that any engine reads, each epoch in each table once (IN-1), gold equal to its SQL in batch
//! ([`Repair::verify`], FL-1).

pub mod commit;
mod connector;
mod dirty;
mod erase;
mod error;
mod maintain;
mod observer;
mod repair;
mod staged;
mod stats;
mod table;
mod tables;
mod verify;
mod versions;

pub use connector::DeltaConnector;
pub use dirty::{Dirty, DirtyWindow, PendingCorrection};
pub use erase::{ErasedRows, erase};
pub use error::{Error, Kind};
pub use maintain::{Bounds, maintain};
pub use observer::{Observer, table_of};
pub use repair::{Followers, Repair, Repaired};
pub use table::{Table, stored_schema};
pub use tables::Tables;
pub use verify::Verdict;
