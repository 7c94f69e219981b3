//! Why an event was not taken: the one answer that HTTP, importers and `events.dead` all give.

use serde::{Deserialize, Serialize};

/// The class of a refusal, stable for clients and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not JSON, or JSON of another shape than an object.
    Malformed,
    /// A required field is missing.
    Missing,
    /// A field that this version does not know.
    UnknownField,
    /// A field of the wrong type or outside its range.
    Invalid,
    /// More than five minutes ahead of the server's clock.
    Future,
    /// The event's user is not the caller.
    Forbidden,
    /// The same id came before with another body.
    Conflict,
    /// Larger than the limit.
    TooLarge,
    /// Written by a newer schema version.
    Version,
    /// The id belongs to an event that was erased.
    Erased,
}

impl Code {
    /// The name on the wire and in metric labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::UnknownField => "unknown_field",
            Self::Invalid => "invalid",
            Self::Future => "future",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Version => "version",
            Self::Erased => "erased",
        }
    }
}

/// An event that is not taken, with the field at fault and what to do. Never carries the value itself:
/// refusals reach logs, and values are personal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Refusal {
    /// Class of the refusal.
    pub code: Code,
    /// Path of the field, such as `payload.intensity`; empty for the event as a whole.
    pub field: String,
    /// What is wrong and what is expected, lower case.
    pub reason: String,
}

impl Refusal {
    /// Builds a refusal.
    pub fn new(code: Code, field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { code, field: field.into(), reason: reason.into() }
    }

    /// An out-of-range or badly formed field.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(Code::Invalid, field, reason)
    }

    /// The same refusal one level up: `intensity` becomes `payload.intensity`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        self.field = if self.field.is_empty() { parent.into() } else { format!("{parent}.{}", self.field) };
        self
    }
}
