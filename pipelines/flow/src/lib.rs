//! The embedded streaming SQL engine: Arroyo's dialect in, exactly-once rows out.
//!
//! In: programs ([`Program::parse`], one per `.sql` file) and [`Connectors`] given by the caller. Out: rows in
//! sinks, an [`EpochSummary`] for each checkpoint, and for every late row the windows it can no longer reach
//! (dirty keys), so that the caller recomputes them. The same program also runs as a batch
//! ([`Program::batch`]); both give the same rows (DESIGN FL-1).
//!
//! Way of a row: reader → generated columns and watermark → projection and filter → exchange by key → panes →
//! projection → sink. [`Pipeline`] runs several programs in one process with one checkpoint over all of them.
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
mod functions;
mod keyed;
mod locate;
mod operator;
mod parse;
mod pipeline;
mod plan;
mod program;
mod table;
mod updating;
mod window;

pub use checkpoint::CheckpointStore;
pub use connector::{
    Connector, Connectors, EpochObserver, EpochSummary, Polled, Reader, Sink, SinkContext, SinkEpoch, Source,
    SourceOffset,
};
pub use connectors::{Blackhole, Filesystem, Impulse, SingleFile};
pub use error::{Error, ErrorKind, Location, Result};
pub use explain::PlanNode;
pub use pipeline::{JobStart, JobStatus, Pipeline, PipelineHandle, PipelineOptions, PipelineStatus};
pub use program::{KeyColumn, Output, Program};
pub use table::{Generated, TableDef, TableKind, Watermark};
pub use window::WindowKind;
