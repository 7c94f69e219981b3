//! What can go wrong, by kind.

use std::path::{Path, PathBuf};

/// What a caller should make of an [`Error`]: retries and HTTP codes look at this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong; sending it again changes nothing.
    Invalid,
    /// What was named is not there.
    NotFound,
    /// Too much at once; try again later.
    Overloaded,
    /// The engine has stopped, or an adapter's files are broken.
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
    #[error("cannot {action} {path}; check that it is there and may be read")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The model's files do not make a model that this engine runs.
    #[error("the model in {path} cannot be served: {why}")]
    Model {
        /// The folder.
        path: PathBuf,
        /// What is wrong and where.
        why: String,
    },
    /// The adapter's files do not make an adapter of this base that this engine runs.
    #[error("the adapter in {path} cannot be served: {why}")]
    Adapter {
        /// The folder.
        path: PathBuf,
        /// What is wrong and where.
        why: String,
    },
    /// No adapter has this name.
    #[error("there is no adapter {0:?}; list the adapters to see their names")]
    NoAdapter(String),
    /// An adapter that a request asked for cannot be loaded.
    #[error("adapter {name:?} cannot be used now: {why}")]
    Unusable {
        /// The adapter.
        name: String,
        /// What loading it said.
        why: String,
    },
    /// The adapter does not fit into the memory set aside for adapters.
    #[error(
        "adapter {name:?} needs {needed_bytes} bytes of memory and {free_bytes} could be freed at most now; \
         try again later, unpin an adapter, or give adapters more memory"
    )]
    AdapterMemory {
        /// The adapter.
        name: String,
        /// What it needs.
        needed_bytes: u64,
        /// What is free, or would be after every idle, unpinned adapter has gone.
        free_bytes: u64,
    },
    /// The prompt and the answer that is asked for do not fit into the context.
    #[error(
        "the messages make {prompt_tokens} tokens and the answer may take {answer_tokens}, but the context holds \
         {context_tokens}; shorten the messages or ask for fewer tokens"
    )]
    ContextLength {
        /// Of the prompt.
        prompt_tokens: usize,
        /// Of the answer, at least 1.
        answer_tokens: usize,
        /// What a request may have in all.
        context_tokens: usize,
    },
    /// A queue is full or a wait was too long.
    #[error("{0}; try again later")]
    Overloaded(String),
    /// The chat template refused the conversation or cannot be rendered.
    #[error("the chat template refused the messages: {0}")]
    Template(String),
    /// The engine has stopped.
    #[error("the engine has stopped; restart it")]
    Stopped,
    /// A tensor operation failed.
    #[error("a tensor operation failed")]
    Compute(#[from] candle_core::Error),
}

impl Error {
    /// What a caller should make of it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::ContextLength { .. } | Self::Template(_) => ErrorKind::Invalid,
            Self::NoAdapter(_) => ErrorKind::NotFound,
            Self::AdapterMemory { .. } | Self::Overloaded(_) => ErrorKind::Overloaded,
            Self::Stopped | Self::Unusable { .. } => ErrorKind::Unavailable,
            Self::Model { .. } | Self::Adapter { .. } => ErrorKind::Corrupt,
            Self::Io { .. } | Self::Compute(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { field, why: why.into() }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn model(path: &Path, why: impl Into<String>) -> Self {
        Self::Model { path: path.to_owned(), why: why.into() }
    }

    pub(crate) fn adapter(path: &Path, why: impl Into<String>) -> Self {
        Self::Adapter { path: path.to_owned(), why: why.into() }
    }
}
