//! What the changelogs hold: id entries and positions of `admit`, epochs of writers. Pure.

use crate::log::{IdEntry, IdKey, Offset};

/// One record of a changelog; its key makes compaction keep the last of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// What became of an id.
    Entry(IdKey, IdEntry),
    /// Where `admit` goes on in the inbox of the changelog's partition.
    Position(Offset),
    /// The last epoch of a writer.
    Epoch(String, u64),
}

impl Change {
    pub(super) fn key(&self) -> Vec<u8> {
        match self {
            Self::Entry(key, _) => [b"e".as_slice(), key.as_bytes()].concat(),
            Self::Position(_) => b"p".to_vec(),
            Self::Epoch(writer, _) => [b"w", writer.as_bytes()].concat(),
        }
    }

    pub(super) fn value(&self) -> Vec<u8> {
        match self {
            Self::Entry(_, entry) => entry.encode().to_vec(),
            Self::Position(number) | Self::Epoch(_, number) => number.to_be_bytes().to_vec(),
        }
    }

    /// `None` when the bytes are no change.
    pub(super) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let number = || value.try_into().ok().map(u64::from_be_bytes);
        match key.split_first()? {
            (b'e', key) => Some(Self::Entry(IdKey::from_bytes(key)?, IdEntry::decode(value)?)),
            (b'p', []) => number().map(Self::Position),
            (b'w', writer) => Some(Self::Epoch(String::from_utf8(writer.to_vec()).ok()?, number()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crave_schemas::{EventId, UserId};
    use proptest::prelude::*;

    use super::*;
    use crate::log::IdState;

    #[test]
    fn changes_survive_the_changelog() {
        let user = UserId::new("ada").unwrap();
        let entry =
            IdEntry { state: IdState::Dead, body: [3; 16], offset: 9, event_time_us: -7, pending: false };
        for change in [
            Change::Entry(IdKey::new(&user, EventId::derived(&user, b"1")), entry),
            Change::Position(42),
            Change::Epoch("memories/out of 24 bytes".into(), 7),
        ] {
            assert_eq!(Change::decode(&change.key(), &change.value()), Some(change));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(key in proptest::collection::vec(any::<u8>(), 0..30), value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Change::decode(&key, &value);
        }
    }
}
