//! What is known of a cold memory without its text.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::memory::{IMPORTANCE, PEAK, PINNED};
use crate::{Memory, SourceKind};

/// Bytes of an entry in a file.
pub(super) const ENTRY_BYTES: usize = 62;
/// The importance of a memory whose own is unknown.
const UNKNOWN: f32 = 0.5;

/// A memory without its text and its vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) revision: u32,
    /// Event time in microseconds since 1970.
    pub(crate) time: i64,
    pub(crate) kind: SourceKind,
    /// An episodic peak or pinned: never dropped for room.
    pub(crate) kept: bool,
    /// It has a meaning.
    pub(crate) meant: bool,
    /// 0 to 1.
    pub(crate) importance: f32,
    /// A hash of everything in it: the same memory again has the same.
    pub(crate) hash: u64,
    /// A hash of its kind and source: of equal ones the text decides.
    pub(crate) source: u64,
    /// Where its words end, in bytes from the first memory's.
    pub(super) words_end: u32,
    /// Where the block with its text is, and where in it.
    pub(super) block: u32,
    pub(super) offset: u32,
}

impl Entry {
    pub(super) fn of(memory: &Memory, meant: bool, words_end: u32, block: u32, offset: u32) -> Self {
        let importance = memory.attributes.get(IMPORTANCE).and_then(serde_json::Value::as_f64);
        #[allow(clippy::cast_possible_truncation, reason = "a share between 0 and 1")]
        let importance = importance.map_or(UNKNOWN, |share| share.clamp(0.0, 1.0) as f32);
        let pinned = memory.attributes.get(PINNED).and_then(serde_json::Value::as_bool).unwrap_or(false);
        Self {
            id: memory.id().0,
            revision: memory.revision,
            time: memory.event_time.timestamp_micros(),
            kind: memory.source_kind,
            kept: pinned || importance >= PEAK,
            meant,
            importance,
            hash: hash_of(memory),
            source: source_of(memory.source_kind, &memory.source_id),
            words_end,
            block,
            offset,
        }
    }

    pub(super) fn write(&self, into: &mut Vec<u8>) {
        let flags = u8::from(self.kept) | (u8::from(self.meant) << 1);
        into.extend_from_slice(self.id.as_bytes());
        into.extend_from_slice(&self.revision.to_le_bytes());
        into.extend_from_slice(&self.time.to_le_bytes());
        into.extend_from_slice(&[code(self.kind), flags]);
        into.extend_from_slice(&self.importance.to_le_bytes());
        into.extend_from_slice(&self.hash.to_le_bytes());
        into.extend_from_slice(&self.source.to_le_bytes());
        for number in [self.words_end, self.block, self.offset] {
            into.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// `None` when the bytes are no entry.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (revision, rest) = rest.split_first_chunk()?;
        let (time, rest) = rest.split_first_chunk()?;
        let ([kind, flags], rest) = rest.split_first_chunk()?;
        let (importance, rest) = rest.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (source, rest) = rest.split_first_chunk()?;
        let (words_end, rest) = rest.split_first_chunk()?;
        let (block, rest) = rest.split_first_chunk()?;
        let (offset, _) = rest.split_first_chunk()?;
        Some(Self {
            id: Uuid::from_bytes(*id),
            revision: u32::from_le_bytes(*revision),
            time: i64::from_le_bytes(*time),
            kind: KINDS.get(usize::from(*kind)).copied()?,
            kept: flags & 1 != 0,
            meant: flags & 2 != 0,
            importance: f32::from_le_bytes(*importance),
            hash: u64::from_le_bytes(*hash),
            source: u64::from_le_bytes(*source),
            words_end: u32::from_le_bytes(*words_end),
            block: u32::from_le_bytes(*block),
            offset: u32::from_le_bytes(*offset),
        })
    }
}

/// The kinds by their code on disk: add at the end only.
const KINDS: [SourceKind; 5] =
    [SourceKind::Note, SourceKind::Journal, SourceKind::Trend, SourceKind::Chat, SourceKind::Document];

fn code(kind: SourceKind) -> u8 {
    let place = KINDS.iter().position(|one| *one == kind);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

/// A hash of a source.
pub(crate) fn source_of(kind: SourceKind, source_id: &str) -> u64 {
    short(Sha256::new().chain_update([code(kind)]).chain_update(source_id.as_bytes()))
}

/// A hash of all that a memory holds.
pub(crate) fn hash_of(memory: &Memory) -> u64 {
    // The same attributes in another order count as others, which costs a needless write.
    let attributes = serde_json::to_vec(&memory.attributes).unwrap_or_default();
    let hash = Sha256::new().chain_update(memory.event_time.timestamp_micros().to_le_bytes());
    let hash =
        hash.chain_update((memory.text.len() as u64).to_le_bytes()).chain_update(memory.text.as_bytes());
    short(hash.chain_update(attributes))
}

fn short(hash: Sha256) -> u64 {
    hash.finalize().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use crave_schemas::UserId;

    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for (at, kind) in KINDS.into_iter().enumerate() {
            let mut memory = Memory::new(UserId::new("u").unwrap(), kind, "s", DateTime::UNIX_EPOCH, "x");
            memory.attributes.insert(IMPORTANCE.to_owned(), 0.9.into());
            let entry = Entry::of(&memory, at % 2 == 0, 7, 8, 9);
            let mut bytes = Vec::new();
            entry.write(&mut bytes);
            assert_eq!(bytes.len(), ENTRY_BYTES);
            assert_eq!(Entry::read(&bytes), Some(entry));
            assert!(entry.kept);
        }
        assert_eq!(Entry::read(&[0; ENTRY_BYTES - 1]), None);
    }

    #[test]
    fn pinned_and_weighty_memories_are_kept() {
        let table = [
            (None, None, false),
            (Some(0.79), None, false),
            (Some(0.8), None, true),
            (Some(0.1), Some(true), true),
        ];
        for (importance, pinned, kept) in table {
            let mut memory =
                Memory::new(UserId::new("u").unwrap(), SourceKind::Note, "s", DateTime::UNIX_EPOCH, "x");
            if let Some(importance) = importance {
                memory.attributes.insert(IMPORTANCE.to_owned(), importance.into());
            }
            if let Some(pinned) = pinned {
                memory.attributes.insert(PINNED.to_owned(), pinned.into());
            }
            assert_eq!(Entry::of(&memory, false, 0, 0, 0).kept, kept, "{importance:?} {pinned:?}");
        }
    }
}
