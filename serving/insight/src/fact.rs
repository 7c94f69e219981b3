//! A fact: a value that the server computed, and all that is needed to check it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Measure;

/// What a fact says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing to say: no rows.
    Nothing,
    /// A number, rounded as it is shown.
    Number(f64),
    /// A label or the person's own words.
    Text(String),
}

impl Value {
    /// The number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// As it is written in a sentence, without unit.
    #[must_use]
    pub fn written(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Number(number) => format!("{number}"),
            Self::Text(text) => text.clone(),
        }
    }
}

/// A typed fact (AN-1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// Its citation's id.
    pub id: Uuid,
    /// What it is, for a heading.
    pub label: String,
    /// What it says.
    pub value: Value,
    /// In what; `None` for a label or words.
    pub unit: Option<String>,
    /// What it is about: `sugar cravings`.
    pub subject: String,
    /// Of which time: `last 30 days`.
    pub period: String,
    /// The same as part of a sentence: `in the last 30 days`.
    pub when: String,
    /// The SQL whose answer it is.
    pub query: String,
    /// How many rows it rests on.
    pub rows_n: u64,
    /// Their event ids, the newest first, at most 200.
    pub rows: Vec<String>,
    /// Version of the table it was computed from.
    pub table_version: u64,
    /// When it was computed.
    pub as_of: DateTime<Utc>,
    /// How it is computed again.
    pub measure: Measure,
}

impl Fact {
    /// The value as it is written in a sentence, with its unit where the number alone would mislead.
    #[must_use]
    pub fn written(&self) -> String {
        let value = self.value.written();
        match self.unit.as_deref() {
            Some(unit @ ("%" | "ms" | "of 10")) => format!("{value} {unit}"),
            _ => value,
        }
    }
}
