//! What a person wrote and lived, kept so that it is found again by meaning, by words and by time.
//!
//! In: [`Memory`] rows (notes, journal chunks, trend markers, chat turns) from `crave.memories.v1`. Out: [`Hit`]s,
//! each with the parts of its score, for one person at a time. Between them: an [`Embedder`] turns text into vectors
//! (or nothing does, and search is by words alone: [`Mode`] says so), [`Recall`] owns the store, [`score`] decides
//! the order and is pure; [`Understander`] labels notes.
//!
//! # What is stored of a person, and where
//!
//! [`Place::Folder`]: all of it lies under that folder, in one collection folder `gen-NNNNNNNN`, and in two while another
//! embedding model takes over:
//!
//! | file | holds |
//! |---|---|
//! | `gen-…/segments/*/payload_storage` | the **text in clear**, user id, source kind and id, event time, attributes |
//! | `gen-…/segments/*/vector_storage*` | an embedding and the hashed words of each text |
//! | `gen-…/segments/*/payload_index` | user id, source kind and id, event time |
//! | `gen-…/wal/*` | the same once more: every write since the folder was made, less what opening it trims |
//! | `gen-…/model.json` | the embedding model and its dimension |
//! | `CURRENT`, `NEXT` | the name of the folder in use, and of the one that is on its way |
//! | `cold/…/*.seg` | of what is older than the retention: user id, and the same texts, words and embeddings, packed |
//!
//! [`Place::Server`]: the same points are in collections of a Qdrant server, the model in their metadata, and aliases are
//! the two names.
//!
//! Nothing is encrypted here; the disk must be. Nothing of a memory is logged.
//!
//! # Models
//!
//! A collection holds vectors of one [`Model`]. When another is set, [`Recall::embed_missing`] fills a second collection,
//! which gets every write too, and puts it in use in one step; searches use the first until then. Where a model is remote
//! ([`Embedder::is_remote`]), only what people wrote who agreed to that ([`Consent`]) is sent, their questions included;
//! the memories of all others are in the same collection without a vector, and found by their words. A model that is away
//! stops neither writing nor searching: what it missed is embedded later.
//!
//! # Deleting and erasing
//!
//! [`Recall::delete_source`] hides a source at once and for good: a tombstone (ids and a revision, no text) keeps a
//! replay from bringing it back. Its bytes stay in the log and in free pages until [`Recall::scrub`].
//! [`Recall::erase_user`] leaves no byte: it writes every other person's points into a new collection without a
//! write-ahead log of the old one, switches to it, and removes the old one before it returns (PR-1). It leaves no
//! tombstone either, for that would name the person: erase the memory log first, so that no replay brings them back.
//!
//! # Hot and cold
//!
//! [`Recall::retire`] moves raw memories (not trend markers) that are past their retention to the cold index, on disk only.
//! It is searched when a question names a time that reaches there, or when nothing hot answers well; its candidates go
//! through the same scoring. Whatever deletes, corrects, erases, lists or embeds anew reaches both.
//!
//! # Caches
//!
//! In memory only: the vector and the mood of a question, and the candidates that the store gave for it, by person. A
//! change of the person's memories ends what was read before it ([`Status`] tells how often a cache had an answer), and
//! erasing removes their entries. Scores are computed each time. Beside a server the candidates are not kept, for another
//! process may write there.
//!
//! # Invariants
//!
//! RC-2: every read and delete takes the tenant as an argument and the filter is built inside the store.
//! RC-1: ids are derived from user, source and chunk, so that a replay changes nothing; an older revision never
//! overwrites a newer one; [`Recall::upsert`] returns only after its points are flushed to disk.

pub mod asked;
mod cache;
mod candidates;
pub mod chunk;
mod cold;
pub mod document;
mod embed;
mod error;
pub mod labelled;
mod lexical;
mod memory;
pub mod models;
pub mod period;
mod recall;
pub mod score;
pub mod stage;
mod status;
mod store;
pub mod understand;
pub mod words;

pub use cold::ColdOptions;
#[doc(hidden)]
pub use cold::fuzz;
pub use embed::{
    Consent, DIMENSION, DIMENSION_MAX, Embedder, Embedders, Key, MiniLm, Model, OpenAi, OpenAiOptions,
    STATES_N, Usage,
};
pub use error::{Error, ErrorKind};
pub use memory::{
    CONTEXT, EMOTIONS, IMPORTANCE, LIMITS, Limits, Memory, MemoryId, PEAK, PINNED, SPEAKER, SourceKind,
};
pub use recall::{Changed, Hit, Place, Recall, SearchOptions};
pub use score::{Parts, Weights};
pub use stage::{Stage, Stages};
pub use status::{CacheUse, Caches, Cold, Mode, Reembedding, Status};
pub use store::ServerOptions;
pub use understand::{Understander, Understanding};

/// Result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;
