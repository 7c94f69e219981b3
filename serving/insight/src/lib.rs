//! Questions about one's own cravings, answered from one's own log.
//!
//! In: a question of one person. Out: an [`Answer`] whose every number is the value of a [`Fact`] that the server
//! computed (AN-1), each sentence with the citations it rests on. No language model is needed: sentences are
//! templates in which `{{fact}}` is substituted, and a template with a digit of its own is refused ([`ground`]). Where a
//! [`Backend`] is given, its model speaks instead: [`budget`] makes the prompt fit, [`Gate`] lets a sentence out once each
//! of its claims is a fact's, and what is withheld the composer says.
//!
//! The way of a question: [`screen`] (a crisis gets the vetted answer and nothing else happens) → [`read`] (what is
//! asked: craving, part of the day, weekdays, period) → [`Measure`]s as SQL through [`crave_lake::Lake`] in the
//! person's own scope → notes through [`crave_recall::Recall`] → [`compose`] → [`Citations`] kept, so that each can be
//! opened later and tells whether the data has changed since.
//!
//! It informs; it does not diagnose or treat. [`DISCLAIMER`] goes with every answer.

mod answer;
mod backend;
pub mod budget;
mod chat;
mod compose;
pub mod documents;
mod engine;
mod error;
mod fact;
mod gate;
mod ground;
pub mod intent;
mod measure;
mod plan;
mod prompt;
mod question;
mod screen;
mod speak;
pub mod sqlite;
mod store;

pub use answer::{
    Answer, Citation, DISCLAIMER, Detail, DetailRow, Event, Proposal, Resource, Sentence, Status,
};
pub use backend::{Backend, Piece, Pieces, Prompt, Remote, RemoteOptions};
pub use chat::{
    Chats, Completion, Conversation, Conversations, Item, Memories, Passage, Recalled, Recollection, Reply,
    Said, Speaker, Telling, Told, Turn, UserFact,
};
pub use compose::{Note, compose};
pub use engine::{Insights, QUESTION_CHARS_MAX};
pub use error::{Error, Kind};
pub use fact::{Fact, Value};
pub use gate::{Gate, Withheld};
pub use ground::{Ungrounded, ground};
pub use measure::{Column, Measure, Rate, Select};
pub use plan::{Found, Planned, Role, plan};
pub use prompt::{Voice, rules as prompt_rules};
pub use question::{Ask, Label, PartOfDay, Period, Query, Reading, read};
pub use screen::{Crisis, screen};
pub use speak::{Coach, Sentences, Spoken, speak};
pub use store::{Citations, Example, Feedback, REASONS, TEXT_BYTES_MAX, Thumb};

/// Result of this crate's operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;
