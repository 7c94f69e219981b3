//! What can go wrong with the tables, by what a caller can do about it.

use std::path::PathBuf;

/// How a caller should react.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A definition is wrong; change it.
    Invalid,
    /// No such table.
    NotFound,
    /// The store cannot be reached at present.
    Unavailable,
    /// What is stored contradicts itself.
    Corrupt,
}

/// A failure of the tables.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Delta or the store under it failed.
    #[error("table {table}: {doing} failed")]
    Delta {
        /// Table.
        table: String,
        /// What was being done.
        doing: &'static str,
        /// Cause.
        #[source]
        source: Box<deltalake::DeltaTableError>,
    },
    /// A file could not be read or written.
    #[error("{}: {doing} failed; check the disk and its permissions", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A batch could not be encoded or computed.
    #[error("table {table}: {doing} failed")]
    Data {
        /// Table.
        table: String,
        /// What was being done.
        doing: &'static str,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A commit came before its checkpoint: see [`crate::commit`].
    #[error(transparent)]
    Undecided(#[from] crate::commit::Undecided),
    /// The set of dirty windows failed.
    #[error("the set of dirty windows failed; check the disk, then restart")]
    Dirty(#[from] fjall::Error),
    /// No such table.
    #[error("no table '{0}'; `crave sql \"show tables\"` lists them")]
    NotFound(String),
    /// A table was deleted under a job that goes on.
    #[error(
        "table {0} is gone, but its job goes on from a checkpoint; restore it from a backup, or delete checkpoints/ to compute every table anew from the log"
    )]
    Gone(String),
    /// Rows kept coming late while the table was to be compared.
    #[error("table {0} is repaired without end, for rows keep coming late; try again when fewer do")]
    Unsettled(String),
    /// A job's SQL does not fit.
    #[error("{0}")]
    Invalid(String),
    /// The streaming engine refused a program.
    #[error("the streaming job does not run in batch")]
    Flow(#[from] crave_flow::Error),
}

impl Error {
    /// What a caller can do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Delta { .. } | Self::File { .. } | Self::Dirty(_) | Self::Unsettled(_) => Kind::Unavailable,
            Self::Data { .. } | Self::Undecided(_) | Self::Gone(_) => Kind::Corrupt,
            Self::NotFound(_) => Kind::NotFound,
            Self::Invalid(_) | Self::Flow(_) => Kind::Invalid,
        }
    }

    pub(crate) fn delta(table: &str, doing: &'static str) -> impl FnOnce(deltalake::DeltaTableError) -> Self {
        let table = table.to_owned();
        move |source| Self::Delta { table, doing, source: Box::new(source) }
    }

    pub(crate) fn data<E>(table: &str, doing: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let table = table.to_owned();
        move |source| Self::Data { table, doing, source: source.into() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, doing, source }
    }
}
