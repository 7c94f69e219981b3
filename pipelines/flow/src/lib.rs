//! The embedded streaming SQL engine: Arroyo's dialect in, exactly-once rows out.
//!
//! In: programs (`Program::parse`, one per `.sql` file) and [`Connectors`] given by the caller. Out: rows in
//! sinks, a [`Checkpoint`](EpochSummary) each epoch, and for every late row the window it can no longer reach
//! (dirty keys), so that the caller recomputes it. The same program also runs as a batch
//! (`Program::batch`); both give the same rows (DESIGN FL-1).
//!
//! Way of a row: [`connector`] reader → watermark → projection and filter → hash exchange → keyed panes →
//! projection → sink. `Pipeline` runs several programs in one process with one checkpoint over all of them.
//! The engine knows no connector by name but its own two small ones (`connectors`).

mod connector;
mod error;
mod table;

pub use connector::{
    Connector, Connectors, EpochObserver, EpochSummary, Polled, Reader, Sink, SinkContext, SinkEpoch, Source,
    SourceOffset,
};
pub use error::{Error, ErrorKind, Result};
pub use table::{Generated, TableDef, TableKind, Watermark};
