//! Read-only SQL over the tables: a person's own rows, whatever they ask (TN-1).
//!
//! In: a [`Scope`] and SQL. Out: Arrow batches, within bounds of rows, memory and time. A scope of one user
//! sees views that hold that user's rows only; the tables themselves are not in its session, so no SQL can
//! reach around the filter. The same holds for `live.NAME`, the rows of windows that are still open.

mod error;
mod format;
mod live;
mod named;
mod session;
mod system;

pub use error::{Error, Kind};
pub use format::{Format, to_csv, to_ipc, to_json_rows, to_ndjson, to_text};
pub use named::{Query, register_views};
pub use session::{Answer, Bounds, Engine, Lake, Scope, reads_live};
