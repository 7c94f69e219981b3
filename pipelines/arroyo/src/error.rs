//! What can go wrong, sorted by what the caller should do about it.

use crate::Finding;

/// What the caller should do about an [`Error`]; retries read only this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The SQL, an option or the address is wrong: change it.
    Invalid,
    /// What is named is not there.
    NotFound,
    /// The cluster holds something else under the name, or forbids it: decide.
    Conflict,
    /// The cluster asks for fewer requests: later.
    Overloaded,
    /// The cluster does not answer: try again.
    Unavailable,
    /// The answer is not Arroyo's.
    Corrupt,
    /// A job ended in an error of its own: read it.
    Failed,
}

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting or an argument is wrong.
    #[error("{0}")]
    Invalid(String),
    /// Programs are not portable.
    #[error("{} of the jobs cannot run on Arroyo: {}", .0.len(), list(.0))]
    NotPortable(Vec<Finding>),
    /// A name is not known.
    #[error("{0}")]
    NotFound(String),
    /// Something stands in the way that only a person can decide.
    #[error("{0}")]
    Conflict(String),
    /// Arroyo refused a request and said why.
    #[error("{what}: Arroyo answered {status}: {said}")]
    Refused {
        /// What was asked for.
        what: String,
        /// HTTP status.
        status: u16,
        /// Arroyo's own words.
        said: String,
    },
    /// The cluster could not be reached, or did not answer in time.
    #[error("{what}: no answer from Arroyo; is it running, and is its address right?")]
    Unreachable {
        /// What was asked for.
        what: String,
        /// Whether the request may have arrived.
        sent: bool,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is too large or is not what Arroyo's API gives.
    #[error("{what}: the answer is not Arroyo's: {why}; is the address that of its API (port 5115)?")]
    Answer {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// A job did not come to the state that was wanted within the time given.
    #[error("{job} is {state} after {waited_s} s, not {wanted}; look at it with `crave deploy --status`")]
    Slow {
        /// The pipeline's name.
        job: String,
        /// Its last state.
        state: String,
        /// The state waited for.
        wanted: &'static str,
        /// How long it was waited for.
        waited_s: u64,
    },
    /// A job failed.
    #[error("{job} is {state}: {said}")]
    Failed {
        /// The pipeline's name.
        job: String,
        /// Its state.
        state: String,
        /// Arroyo's own words, and what was done about it.
        said: String,
    },
}

impl Error {
    /// Sorts the error by what the caller should do.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) | Self::NotPortable(_) => Kind::Invalid,
            Self::NotFound(_) | Self::Refused { status: 404, .. } => Kind::NotFound,
            Self::Conflict(_) | Self::Refused { status: 401 | 403 | 409, .. } => Kind::Conflict,
            Self::Refused { status: 429, .. } => Kind::Overloaded,
            Self::Refused { status: 500..=599, .. } | Self::Unreachable { .. } | Self::Slow { .. } => {
                Kind::Unavailable
            }
            Self::Refused { .. } => Kind::Invalid,
            Self::Answer { .. } => Kind::Corrupt,
            Self::Failed { .. } => Kind::Failed,
        }
    }
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(|f| format!("\n  {f}")).collect()
}
