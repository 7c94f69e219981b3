//! The embedded streaming SQL engine: Arroyo's dialect in, exactly-once rows out.
//!
//! In: programs ([`Program::parse`], one per `.sql` file) and [`Connectors`] given by the caller. Out: rows in
//! sinks, an [`EpochSummary`] for each checkpoint, and for every late row the windows it can no longer reach
//! (dirty keys), so that the caller recomputes them. The same program also runs as a batch
//! ([`Program::batch`]); both give the same rows (DESIGN FL-1).
//!
//! Way of a row: reader → generated columns and watermark → projection and filter → exchange by key → operator →
//! projection → sink. An operator is keyed state: panes (`tumble`, `hop`), sessions, rows that wait until their window
//! closes (windowed joins, `OVER (PARTITION BY window …)`), or what an updating query keeps for `updating_ttl`.
//! [`Pipeline`] runs several programs in one process with one checkpoint over all of them.
//!
//! Dialect: Arroyo's. Projections, filters, UNNEST, views, CTEs, UNION; `tumble`, `hop` and `session` in `GROUP BY`,
//! windowed again or grouped again by their window; inner and outer joins of windowed queries on their window; window
//! functions partitioned by a window; updating aggregates, DISTINCT and joins into sinks with
//! `format = 'debezium_json'`; scalar, aggregate and asynchronous functions of the caller ([`Functions`]). Anything else
//! is refused while planning, with its place, the reason, and what to write.
//!
//! What is late: a row none of whose windows is open any more is in no window; each window that it missed is told as
//! dirty. A session has no bounds before it is computed: there `[row, row + gap)` of the key is told, and every session
//! that overlaps it is to be computed again.
//!
//! The engine knows no connector by name but its own small ones ([`SingleFile`], [`Filesystem`], [`Impulse`],
//! [`Blackhole`]).

mod aggregate;
mod checkpoint;
mod closing;
mod connector;
mod connectors;
mod debezium;
mod error;
mod exchange;
mod explain;
mod failpoint;
mod functions;
mod keyed;
mod locate;
mod operator;
mod parse;
mod pipeline;
mod plan;
mod program;
mod swap;
mod table;
mod udf;
mod updating;
mod window;

pub use checkpoint::{CheckpointStore, ErasedState, LateRows};
pub use connector::{
    Connector, Connectors, EpochObserver, EpochSummary, Polled, Reader, Sink, SinkContext, SinkEpoch, Source,
    SourceOffset,
};
pub use connectors::{Blackhole, Filesystem, Impulse, SingleFile};
pub use error::{Error, ErrorKind, Location, Result};
pub use explain::PlanNode;
pub use failpoint::{Striker, failpoint, strike_failpoints};
pub use pipeline::{
    JobStart, JobStatus, LiveTable, NodeKind, NodeStatus, Pipeline, PipelineHandle, PipelineOptions,
    PipelineStatus, PipelineView,
};
pub use program::{KeyColumn, Output, Program};
pub use swap::{begin_replacing, finish_replacing, replace_folder};
pub use table::{Generated, TableDef, TableKind, Watermark};
pub use udf::{AsyncFunction, Functions};
pub use window::WindowKind;
