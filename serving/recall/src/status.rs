//! What the index is doing, in words a person can read.

use std::fmt;

use serde::Serialize;

/// How memories are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Mode {
    /// By meaning and by words.
    Hybrid {
        /// The embedding model.
        model: String,
    },
    /// By words alone: no embedding model is there.
    LexicalOnly,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hybrid { model } => write!(f, "search by meaning ({model}) and by words"),
            Self::LexicalOnly => f.write_str(
                "search by words alone: the embedding model is not there, so other wordings are not found; run `crave models pull`",
            ),
        }
    }
}

/// The change to another embedding model, while it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reembedding {
    /// The new model.
    pub model: String,
    /// Memories of all people in the new collection.
    pub memories: usize,
    /// Those of them that have no vector of it yet.
    pub awaiting_embedding: usize,
}

/// The cold index: what is older than the retention, on disk only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cold {
    /// Memories of all people in it.
    pub memories: usize,
    /// Its bytes on disk.
    pub bytes: u64,
    /// People one of whose files cannot be read.
    pub broken: usize,
}

/// How a cache is used, since the index was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheUse {
    /// How often it had what it was asked for.
    pub hits: u64,
    /// How often it had not.
    pub misses: u64,
    /// What is in it.
    pub entries: usize,
    /// About what that takes in memory.
    pub bytes: u64,
}

/// What searches need not do again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Caches {
    /// Vectors and moods of questions.
    pub questions: CacheUse,
    /// What the store gave for a question.
    pub candidates: CacheUse,
}

/// The state of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// How memories are found.
    #[serde(flatten)]
    pub mode: Mode,
    /// Memories of all people in the hot index.
    pub memories: usize,
    /// Memories, hot and cold, that have no embedding yet: written while no model was there, or of people who did not agree to a
    /// remote one.
    pub awaiting_embedding: usize,
    /// What moved to the cold index; not among [`Self::memories`].
    pub cold: Cold,
    /// The change to another model, where one goes on.
    pub reembedding: Option<Reembedding>,
    /// The number of the collection in use; it rises with each erasure, scrub and change of the model.
    pub generation: u64,
    /// Bytes of the write-ahead log, in which deleted text may remain until a scrub.
    pub wal_bytes: u64,
    /// Whether sources were deleted since the last scrub (or since the index was opened).
    pub scrub_due: bool,
    /// Why writing has stopped, if it has.
    pub failed: Option<String>,
    /// How the caches are used.
    pub caches: Caches,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} memories", self.mode, self.memories)?;
        if self.awaiting_embedding > 0 {
            write!(f, ", {} without embedding", self.awaiting_embedding)?;
        }
        if self.cold.memories > 0 {
            write!(f, ", {} cold", self.cold.memories)?;
        }
        if self.cold.broken > 0 {
            write!(f, " (cold files of {} people cannot be read)", self.cold.broken)?;
        }
        if let Some(new) = &self.reembedding {
            let done = new.memories.saturating_sub(new.awaiting_embedding);
            write!(f, "; embedded anew by {}: {done} of {}", new.model, new.memories)?;
        }
        let CacheUse { hits, misses, .. } = self.caches.candidates;
        if hits + misses > 0 {
            write!(f, "; {hits} of {} searches from the cache", hits + misses)?;
        }
        if let Some(why) = &self.failed {
            write!(f, "; writing has stopped: {why}")?;
        }
        Ok(())
    }
}
