//! The id index: what is known of each (user, event id), so that an event is admitted once (IN-1).
//!
//! 24 bytes of key and 33 of value an event, before the store's own overhead.

use crave_schemas::{BodyHash, EventId, UserId};
use sha2::{Digest as _, Sha256};

use super::Offset;

const KEY_BYTES: usize = 24;
const ENTRY_BYTES: usize = 33;

/// (user, event): eight bytes of the user's SHA-256, so that one user's ids lie together, then the UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdKey([u8; KEY_BYTES]);

impl IdKey {
    /// The key of an event of a user.
    #[must_use]
    pub fn new(user: &UserId, event: EventId) -> Self {
        let mut key = [0; KEY_BYTES];
        key[..8].copy_from_slice(&Self::prefix(user));
        key[8..].copy_from_slice(event.0.as_bytes());
        Self(key)
    }

    /// What all keys of a user begin with.
    #[must_use]
    pub fn prefix(user: &UserId) -> [u8; 8] {
        let digest = Sha256::digest(user.as_str().as_bytes());
        let mut prefix = [0; 8];
        prefix.copy_from_slice(&digest[..8]);
        prefix
    }

    /// The key of these stored bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes in the store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What became of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IdState {
    /// In `events`.
    Admitted = 1,
    /// In `events`, and taken back by a retraction; a copy that is synced again is still a duplicate.
    Retracted = 2,
    /// Erased with its person's data; a copy that is synced again is refused.
    Erased = 3,
    /// Refused after it was acknowledged; the offset is that of its record in `crave.events.dead.v1`. A
    /// later good event of this id replaces the entry.
    Dead = 4,
}

/// The index's entry of one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdEntry {
    /// What became of it.
    pub state: IdState,
    /// Hash of the canonical body.
    pub body: BodyHash,
    /// Offset of the event in its partition of `crave.events.v1` (of the dead topic where `state` is `Dead`).
    pub offset: Offset,
    /// Microseconds since 1970 of the event time: the window a retraction of it makes dirty.
    pub event_time_us: i64,
    /// Whether `offset` still counts from the first record that the pass appends to that topic.
    pub pending: bool,
}

impl IdEntry {
    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0] = self.state as u8;
        bytes[1..17].copy_from_slice(&self.body);
        bytes[17..25].copy_from_slice(&self.offset.to_be_bytes());
        bytes[25..33].copy_from_slice(&self.event_time_us.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; ENTRY_BYTES] = bytes.try_into().ok()?;
        let state = match bytes[0] {
            1 => IdState::Admitted,
            2 => IdState::Retracted,
            3 => IdState::Erased,
            4 => IdState::Dead,
            _ => return None,
        };
        let mut body = BodyHash::default();
        body.copy_from_slice(&bytes[1..17]);
        let word = |at: usize| -> [u8; 8] {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            word
        };
        Some(Self {
            state,
            body,
            offset: u64::from_be_bytes(word(17)),
            event_time_us: i64::from_be_bytes(word(25)),
            pending: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_store() {
        let entry = IdEntry {
            state: IdState::Retracted,
            body: [7; 16],
            offset: 42,
            event_time_us: -1,
            pending: false,
        };
        assert_eq!(IdEntry::decode(&entry.encode()), Some(entry));
        assert_eq!(IdEntry::decode(&[9; 33]), None);
        assert_eq!(IdEntry::decode(&[1; 3]), None);
    }
}
