//! A refused record with its reason: nothing acknowledged is dropped (IN-2).

use chrono::{DateTime, Utc};
use crave_schemas::Refusal;
use serde::{Deserialize, Serialize};

/// What stands in `crave.events.dead.v1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When it was refused.
    pub at: DateTime<Utc>,
    /// Its user, where that could be read.
    pub user_id: Option<String>,
    /// Its id, where that could be read.
    pub event_id: Option<String>,
    /// Class, field and reason.
    #[serde(flatten)]
    pub refusal: Refusal,
    /// The bytes as they came, when they are UTF-8; absent for an erased person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
    /// The bytes as they came, hexadecimal, when they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_hex: Option<String>,
}

impl DeadLetter {
    /// Keeps `raw` and what can be read of it.
    #[must_use]
    pub fn new(raw: Vec<u8>, refusal: Refusal, at: DateTime<Utc>) -> Self {
        let (user_id, event_id) = ids_of(&raw);
        let (raw, raw_hex) = match String::from_utf8(raw) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(error.as_bytes().iter().map(|b| format!("{b:02x}")).collect())),
        };
        Self { at, user_id, event_id, refusal, raw, raw_hex }
    }

    /// The bytes as they came; `None` when they were not kept.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        if let Some(raw) = &self.raw {
            return Some(raw.clone().into_bytes());
        }
        let hex = self.raw_hex.as_deref()?.as_bytes();
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        hex.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
    }
}

/// User and event id of a record that may be anything.
pub(super) fn ids_of(raw: &[u8]) -> (Option<String>, Option<String>) {
    #[derive(Deserialize)]
    struct Ids {
        user_id: Option<String>,
        event_id: Option<String>,
    }
    serde_json::from_slice(raw).map_or((None, None), |ids: Ids| (ids.user_id, ids.event_id))
}
