//! The stages of a search, each of which can be left out to see what it earns.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A stage of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Search by meaning.
    Dense,
    /// Search by words.
    Lexical,
    /// Names of speakers are a matter of who spoke, not of the words looked for.
    Rewrite,
    /// What stands before and after a memory counts for it, and comes into question itself.
    Neighbours,
    /// Whoever the question names spoke it.
    People,
    /// The time and the weekdays that the question names.
    Period,
    /// The trained linear model; without it the ranks by meaning and by words are fused.
    Rerank,
    /// What is old and fits only in part counts less.
    Recency,
    /// What mattered to the person counts more.
    Importance,
    /// What was felt alike counts more.
    Emotion,
    /// What is old must fit better than what is new to be found at all.
    Gate,
    /// What says the same as a better hit moves down.
    Diversity,
    /// A narrow question looks at fewer candidates.
    Depth,
}

impl Stage {
    /// All of them, in the order in which they work.
    pub const ALL: [Self; 13] = [
        Self::Dense,
        Self::Lexical,
        Self::Rewrite,
        Self::Neighbours,
        Self::People,
        Self::Period,
        Self::Rerank,
        Self::Recency,
        Self::Importance,
        Self::Emotion,
        Self::Gate,
        Self::Diversity,
        Self::Depth,
    ];

    /// Its name on the command line and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Lexical => "lexical",
            Self::Rewrite => "rewrite",
            Self::Neighbours => "neighbours",
            Self::People => "people",
            Self::Period => "period",
            Self::Rerank => "rerank",
            Self::Recency => "recency",
            Self::Importance => "importance",
            Self::Emotion => "emotion",
            Self::Gate => "gate",
            Self::Diversity => "diversity",
            Self::Depth => "depth",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Stage {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Error::invalid("stage", format!("is none of {names}"))
        })
    }
}

/// The stages in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stages(u16);

impl Default for Stages {
    /// All.
    fn default() -> Self {
        Self::only(&Stage::ALL)
    }
}

impl Stages {
    /// These alone.
    #[must_use]
    pub fn only(stages: &[Stage]) -> Self {
        Self(stages.iter().fold(0, |bits, stage| bits | bit(*stage)))
    }

    /// All of these but one.
    #[must_use]
    pub fn without(self, stage: Stage) -> Self {
        Self(self.0 & !bit(stage))
    }

    /// Whether it is in use.
    #[must_use]
    pub fn has(self, stage: Stage) -> bool {
        self.0 & bit(stage) != 0
    }
}

const fn bit(stage: Stage) -> u16 {
    1 << stage as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_name_and_its_switch() {
        for stage in Stage::ALL {
            assert_eq!(stage.as_str().parse::<Stage>().unwrap(), stage);
            let stages = Stages::default().without(stage);
            assert!(Stage::ALL.iter().all(|other| stages.has(*other) == (*other != stage)));
            assert_eq!(Stages::only(&[stage]).without(stage), Stages::only(&[]));
        }
        assert!("magic".parse::<Stage>().is_err());
    }
}
