//! What stops an import before its first record.

use std::io;

use crate::Kind;

/// An import that cannot begin. Faults met later are items of their own ([`super::Rejected`]).
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not what it was said to be, or its map does not fit.
    #[error("{0}")]
    Invalid(String),
    /// The file cannot be read.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The map is not valid TOML of the expected shape.
    #[error("the map cannot be read")]
    Map(#[source] Box<toml::de::Error>),
}

impl ImportError {
    /// What a caller can do.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) | Self::Map(_) => Kind::Invalid,
            Self::Io { .. } => Kind::Unavailable,
        }
    }

    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
