//! Who a person is as a craver: an archetype with its evidence and a calibrated confidence, or "unknown".
//!
//! In: a person's cravings and the weeks in which they logged anything ([`read`] takes both from the lake). Out: a
//! [`Persona`]. [`classify`] between them is pure. Archetypes are data (`archetypes.toml`); a sign counts only when it is
//! far from what chance would show, after a correction for all the signs looked at, and gaps in logging, old data and
//! few cravings end in "unknown" with the reason said. What the person says of themselves ([`corrected`]) wins.
//! Gender is never asked for, read or inferred.

mod archetype;
mod classify;
mod person;
mod profile;
mod read;
mod stats;
mod tone;

pub use archetype::{Archetype, archetypes};
pub use classify::{Candidate, Classified, Seen, Unknown, classify};
pub use person::{Craving, Logged};
pub use profile::{GOALS_MAX, Profile, Rapport, Tone, rapport};
pub use read::{Corrected, Evidence, Month, Persona, Source, corrected, read};
pub use tone::{Occasion, frame};

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archetypes that are compiled in do not parse; a test rules it out.
    #[error("the archetypes cannot be read")]
    Archetypes(#[from] toml::de::Error),
    /// The tables cannot be read.
    #[error(transparent)]
    Lake(#[from] crave_lake::Error),
    /// Rows cannot be turned into objects.
    #[error("rows of the tables cannot be read")]
    Rows(#[from] datafusion::arrow::error::ArrowError),
    /// A row is not what the query promises.
    #[error("a row of the person's cravings has another shape")]
    Row(#[from] serde_json::Error),
}
