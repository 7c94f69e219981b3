//! What can go wrong, sorted by what the caller should do about it.

use datafusion::sql::sqlparser::tokenizer::Span;

/// What the caller should do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The SQL or an option is wrong or not supported: change it.
    Invalid,
    /// A file, topic or connector is missing.
    NotFound,
    /// Something outside did not answer: try again.
    Unavailable,
    /// A checkpoint or an input cannot be read.
    Corrupt,
    /// A fault of ours.
    Internal,
}

/// A place in the text of a program, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl Location {
    pub(crate) fn of(span: Span) -> Option<Self> {
        let Span { start, .. } = span;
        (start.line > 0).then_some(Self { line: start.line, column: start.column })
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure of the engine; [`Error::kind`] says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The SQL cannot be parsed.
    #[error("{program}: {message}")]
    Parse {
        /// Name of the program.
        program: String,
        /// What the parser found, with line and column.
        message: String,
    },
    /// The SQL is understood but not runnable as a stream; `instead` says what to write.
    #[error("{program}{}: {reason}; {instead}", at.map(|at| format!(":{at}")).unwrap_or_default())]
    Unsupported {
        /// Name of the program.
        program: String,
        /// Where in the SQL it stands, when that is known.
        at: Option<Location>,
        /// Why it cannot run.
        reason: String,
        /// What to write instead.
        instead: String,
    },
    /// A table, option or variable is missing or wrong.
    #[error("{0}")]
    Invalid(String),
    /// A connector, table or file that is named does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A connector failed; the cause is the source.
    #[error("{what}")]
    Connector {
        /// What was being done, to which table.
        what: String,
        /// Whether trying again may help.
        transient: bool,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A checkpoint cannot be read back.
    #[error("checkpoint {name}: {message}")]
    Checkpoint {
        /// File name of the checkpoint.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// What a source holds does not fit its table.
    #[error("{what}")]
    Input {
        /// Where it stands and what to do.
        what: String,
        /// The cause.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// A file could not be read or written.
    #[error("{what}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Planning or evaluating an expression failed.
    #[error("{what}")]
    Plan {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: Box<datafusion::error::DataFusionError>,
    },
    /// Evaluating over Arrow data failed.
    #[error("{what}")]
    Arrow {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// A task stopped for a reason that is a fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Sorts the error by what the caller should do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse { .. } | Self::Unsupported { .. } | Self::Invalid(_) | Self::Plan { .. } => {
                ErrorKind::Invalid
            }
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Connector { transient: true, .. } | Self::Io { .. } => ErrorKind::Unavailable,
            Self::Checkpoint { .. } | Self::Input { .. } => ErrorKind::Corrupt,
            Self::Connector { .. } | Self::Arrow { .. } | Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// A connector's failure, with what was being done.
    pub fn connector(
        what: impl Into<String>,
        transient: bool,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Connector { what: what.into(), transient, source: source.into() }
    }

    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    pub(crate) fn plan(what: impl Into<String>) -> impl FnOnce(datafusion::error::DataFusionError) -> Self {
        let what = what.into();
        move |source| Self::Plan { what, source: Box::new(source) }
    }
}

impl From<datafusion::error::DataFusionError> for Error {
    fn from(source: datafusion::error::DataFusionError) -> Self {
        Self::Plan { what: "evaluating a stream".into(), source: Box::new(source) }
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(source: arrow::error::ArrowError) -> Self {
        Self::Arrow { what: "handling a batch".into(), source }
    }
}
