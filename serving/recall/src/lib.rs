//! What a person wrote and lived, kept so that it is found again by meaning, by words and by time.
//!
//! In: [`Memory`] rows (notes, journal chunks, trend markers, chat turns) from `crave.memories.v1`. Out: [`Hit`]s,
//! each with the parts of its score, for one person at a time. Between them: [`MiniLm`] turns text into vectors
//! (or nothing does, and search is by words alone: [`Mode`] says so), [`Recall`] owns the store, [`score`] decides
//! the order and is pure; [`Understander`] labels notes.
//!
//! # What is stored of a person, and where
//!
//! All of it lies under the folder given to [`Recall::open`], in one generation folder `gen-NNNNNNNN`:
//!
//! | file | holds |
//! |---|---|
//! | `gen-…/segments/*/payload_storage` | the **text in clear**, user id, source kind and id, event time, attributes |
//! | `gen-…/segments/*/vector_storage*` | a 384-dimensional embedding and the hashed words of each text |
//! | `gen-…/segments/*/payload_index` | user id, source kind and id, event time |
//! | `gen-…/wal/*` | the same once more: every write since the folder was made, less what [`Recall::open`] trims |
//! | `CURRENT` | the name of the generation folder |
//!
//! Nothing is encrypted here; the disk must be. Nothing of a memory is logged.
//!
//! # Deleting and erasing
//!
//! [`Recall::delete_source`] hides a source at once and for good: a tombstone (ids and a revision, no text) keeps a
//! replay from bringing it back. Its bytes stay in the log and in free pages until [`Recall::scrub`].
//! [`Recall::erase_user`] leaves no byte: it writes every other person's points into a new generation without a
//! write-ahead log of the old one, switches to it, and removes the old folder before it returns (PR-1). It leaves no
//! tombstone either, for that would name the person: erase the memory log first, so that no replay brings them back.
//!
//! # Invariants
//!
//! RC-2: every read and delete takes the tenant as an argument and the filter is built inside the store.
//! RC-1: ids are derived from user, source and chunk, so that a replay changes nothing; an older revision never
//! overwrites a newer one; [`Recall::upsert`] returns only after its points are flushed to disk.

pub mod asked;
pub mod chunk;
pub mod document;
mod error;
pub mod labelled;
mod layers;
mod lexical;
mod memory;
mod minilm;
pub mod models;
pub mod period;
mod recall;
pub mod score;
pub mod stage;
mod status;
mod store;
pub mod understand;
pub mod words;

pub use error::{Error, ErrorKind};
pub use memory::{CONTEXT, EMOTIONS, IMPORTANCE, LIMITS, Limits, Memory, MemoryId, SPEAKER, SourceKind};
pub use minilm::{DIMENSION, MiniLm, STATES_N};
pub use recall::{Changed, Hit, Recall, SearchOptions};
pub use score::{Parts, Weights};
pub use stage::{Stage, Stages};
pub use status::{Mode, Status};
pub use understand::{Understander, Understanding};

/// Result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;
