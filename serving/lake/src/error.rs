//! Why a query was not answered.

/// How a caller should react.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The SQL is wrong, not a query, or asks for too much.
    Invalid,
    /// Too many queries at once.
    Overloaded,
    /// The tables cannot be read at present.
    Unavailable,
}

/// A query that was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The SQL does not parse, plan or run. The message is the engine's: it quotes the caller's own SQL.
    #[error("the query cannot run: {0}")]
    Sql(String),
    /// Not a query.
    #[error("only queries are answered; write SELECT …, SHOW TABLES, DESCRIBE … or EXPLAIN SELECT …")]
    NotAQuery,
    /// Longer than the bound.
    #[error("the query has {bytes} bytes, more than {max}; shorten it")]
    TooLong {
        /// Length.
        bytes: usize,
        /// Bound.
        max: usize,
    },
    /// Ran into the time limit.
    #[error("the query took longer than {0} s; narrow it by time or kind")]
    TimedOut(u64),
    /// Ran into the memory limit.
    #[error("the query needs more memory than it may use; narrow it or aggregate earlier")]
    TooLarge,
    /// Too many at once.
    #[error("too many queries run at once; try again in a second")]
    Busy,
    /// What is in the memory of the jobs is asked for where they do not run.
    #[error(
        "the tables live.* are in the memory of the streaming jobs, which do not run in this process; {0}"
    )]
    NotLive(&'static str),
    /// The tables failed.
    #[error("the tables cannot be read at present")]
    Tables(#[from] crave_tables::Error),
}

impl Error {
    /// What a caller can do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Busy => Kind::Overloaded,
            Self::Tables(_) => Kind::Unavailable,
            _ => Kind::Invalid,
        }
    }

    #[allow(clippy::needless_pass_by_value, reason = "used as `map_err(Error::sql)`")]
    pub(crate) fn sql(error: datafusion::error::DataFusionError) -> Self {
        match error.find_root() {
            datafusion::error::DataFusionError::ResourcesExhausted(_) => Self::TooLarge,
            root => {
                let text = root.strip_backtrace();
                tracing::debug!(%error, "query failed");
                Self::Sql(text)
            }
        }
    }
}
