//! What can go wrong, by kind.

use std::path::PathBuf;

/// What a caller should make of an [`Error`]: retries and HTTP codes look at this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong; sending it again changes nothing.
    Invalid,
    /// Too much at once; try again later.
    Overloaded,
    /// Something outside is not there now; try again later.
    Unavailable,
    /// Data on disk is not what it must be.
    Corrupt,
    /// A fault of ours.
    Internal,
}

/// An error of this crate. The text says what to do; the cause is in `source()`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of a request is out of its bounds.
    #[error("{field} {why}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it and what is allowed.
        why: String,
    },
    /// A file or folder cannot be used.
    #[error("cannot {action} {path}; check its permissions and the free space")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The model is not in its folder.
    #[error("no model in {path}: run `crave models pull` (until then search is by words alone)")]
    ModelMissing {
        /// The folder.
        path: PathBuf,
    },
    /// The model's files do not make a model.
    #[error("the model in {path} cannot be loaded ({why}): delete the folder and run `crave models pull`")]
    ModelBroken {
        /// The folder.
        path: PathBuf,
        /// What the loader said.
        why: String,
    },
    /// A remote model gave no embeddings. The text says nothing of what was sent or answered.
    #[error("the embedding service at {url} {why}")]
    Remote {
        /// Where it is.
        url: String,
        /// What happened, and what to do.
        why: String,
        /// What a caller should make of it.
        kind: ErrorKind,
    },
    /// The Qdrant server did not do what was asked.
    #[error("the Qdrant server at {url} {why}; check that it runs and what it logs")]
    Server {
        /// Where it is.
        url: String,
        /// What it said.
        why: String,
        /// What a caller should make of it.
        kind: ErrorKind,
    },
    /// A text could not be embedded.
    #[error("embedding failed: {0}")]
    Embed(String),
    /// The heads that label notes do not fit the program.
    #[error("the label heads do not fit ({0}); train them again with `tests/recall/labels.rs`")]
    Labels(String),
    /// No source gave the model's files.
    #[error(
        "the model could not be fetched ({0}); set a reachable hub address or put its files into the folder by hand"
    )]
    Fetch(String),
    /// A file came with other bytes than it must have.
    #[error(
        "{file} has sha-256 {found} but must have {expected}; it was thrown away, pull again or use another source"
    )]
    Hash {
        /// The file's name.
        file: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The index on disk cannot be read.
    #[error(
        "the memory index in {path} cannot be opened ({why}); move the folder away and replay the memory log into a new one"
    )]
    IndexBroken {
        /// The folder.
        path: PathBuf,
        /// What the engine said.
        why: String,
    },
    /// A file of somebody's cold memories cannot be read; other people's are not touched by it.
    #[error(
        "the cold memories in {path} cannot be read ({why}); stop, move that file away, and replay the memory log to have them again"
    )]
    ColdBroken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another process has the index open.
    #[error("the memory index in {path} is open in another process; stop it first")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The engine refused an operation; what was acknowledged before is safe.
    #[error("the memory index failed ({0}); what was acknowledged is safe, restart to go on writing")]
    Engine(String),
    /// The writer has stopped.
    #[error("the memory index is closed")]
    Closed,
}

impl Error {
    /// What a caller should make of it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Remote { kind, .. } | Self::Server { kind, .. } => *kind,
            Self::ModelMissing { .. } | Self::Fetch(_) | Self::InUse { .. } | Self::Closed => {
                ErrorKind::Unavailable
            }
            Self::ModelBroken { .. }
            | Self::Hash { .. }
            | Self::IndexBroken { .. }
            | Self::ColdBroken { .. } => ErrorKind::Corrupt,
            Self::Io { .. } | Self::Embed(_) | Self::Labels(_) | Self::Engine(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { field, why: why.into() }
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }
}
