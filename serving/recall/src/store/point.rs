//! Memories and tombstones as points, and back: the same in every store.

use chrono::DateTime;
use crave_schemas::UserId;
use qdrant_edge::SparseVector;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::memory::tombstone_id;
use crate::{Memory, MemoryId, SourceKind};

/// The vector of meaning.
pub(super) const DENSE: &str = "meaning";
/// The vector of words.
pub(super) const SPARSE: &str = "words";

/// Payload fields.
pub(super) mod key {
    pub(crate) const USER: &str = "user_id";
    /// A tombstone's user.
    pub(crate) const OWNER: &str = "owner";
    pub(crate) const KIND: &str = "kind";
    pub(crate) const SOURCE: &str = "source_id";
    pub(crate) const CHUNK: &str = "chunk";
    pub(crate) const REVISION: &str = "rev";
    /// Event time in microseconds since 1970, UTC.
    pub(crate) const TIME: &str = "t";
    pub(crate) const TEXT: &str = "text";
    pub(crate) const ATTRIBUTES: &str = "attrs";
}

/// What a store keeps: of a reading, only what was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Point {
    pub(crate) id: Uuid,
    pub(crate) payload: Map<String, Value>,
    pub(crate) dense: Option<Vec<f32>>,
    pub(crate) sparse: Option<SparseVector>,
}

/// A checked memory with its vectors, ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prepared {
    pub(crate) memory: Memory,
    pub(crate) dense: Option<Vec<f32>>,
    pub(crate) sparse: Option<SparseVector>,
}

impl Prepared {
    pub(super) fn id(&self) -> Uuid {
        self.memory.id().0
    }

    /// Where the tombstone of its source lies.
    pub(super) fn tombstone(&self) -> Uuid {
        tombstone_id(&self.memory.user_id, self.memory.source_kind, &self.memory.source_id)
    }

    pub(crate) fn into_point(self) -> Point {
        let (id, memory) = (self.id(), self.memory);
        let mut payload = Map::new();
        let mut field = |name: &str, value: Value| payload.insert(name.to_owned(), value);
        field(key::USER, memory.user_id.as_str().into());
        field(key::KIND, memory.source_kind.as_str().into());
        field(key::SOURCE, memory.source_id.into());
        field(key::CHUNK, memory.chunk.into());
        field(key::REVISION, memory.revision.into());
        field(key::TIME, memory.event_time.timestamp_micros().into());
        field(key::TEXT, memory.text.into());
        if !memory.attributes.is_empty() {
            field(key::ATTRIBUTES, Value::Object(memory.attributes));
        }
        Point { id, payload, dense: self.dense, sparse: self.sparse }
    }
}

impl Point {
    /// A tombstone: under `owner` and not under `user_id`, so that no filter for a tenant's memories sees it.
    pub(super) fn tombstone(user: &UserId, kind: SourceKind, source_id: &str, through: u32) -> Self {
        let fields = [(key::OWNER, Value::from(user.as_str())), (key::REVISION, through.into())];
        let payload = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { id: tombstone_id(user, kind, source_id), payload, ..Self::default() }
    }

    /// Its memory; `None` if it is a tombstone or not ours.
    pub(crate) fn memory(&self) -> Option<Memory> {
        let attributes = match self.payload.get(key::ATTRIBUTES) {
            Some(Value::Object(attributes)) => attributes.clone(),
            _ => Map::new(),
        };
        Some(Memory {
            user_id: UserId::new(self.text(key::USER)?).ok()?,
            source_kind: serde_json::from_value(self.text(key::KIND)?.into()).ok()?,
            source_id: self.text(key::SOURCE)?.to_owned(),
            chunk: u32::try_from(self.payload.get(key::CHUNK)?.as_u64()?).ok()?,
            revision: self.revision()?,
            event_time: DateTime::from_timestamp_micros(self.payload.get(key::TIME)?.as_i64()?)?,
            text: self.text(key::TEXT)?.to_owned(),
            attributes,
        })
    }

    /// Its memory, if it is the person's.
    pub(crate) fn of(&self, user: &UserId) -> Option<Memory> {
        let memory = self.memory()?;
        if memory.user_id != *user {
            tracing::error!(
                invariant = "RC-2",
                "the index returned another tenant's memory; it was withheld"
            );
            return None;
        }
        Some(memory)
    }

    /// The revision of a memory, or the last one that a tombstone covers.
    pub(crate) fn revision(&self) -> Option<u32> {
        u32::try_from(self.payload.get(key::REVISION)?.as_u64()?).ok()
    }

    /// Whose it is, memory or tombstone.
    pub(super) fn owner(&self) -> Option<&str> {
        self.text(key::USER).or_else(|| self.text(key::OWNER))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.payload.get(name).and_then(Value::as_str)
    }
}

/// The vector of one memory, and the text that it was made from.
#[derive(Clone, Debug)]
pub(crate) struct Meaning {
    pub(crate) id: MemoryId,
    pub(crate) text: String,
    pub(crate) vector: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_comes_back_as_it_went_in() {
        let user = UserId::new("u1").unwrap();
        let mut memory = Memory::new(user.clone(), SourceKind::Chat, "c#1", DateTime::UNIX_EPOCH, "tea");
        memory.attributes.insert("speaker".to_owned(), "Nora".into());
        let point = Prepared { memory: memory.clone(), dense: None, sparse: None }.into_point();
        assert_eq!((point.memory(), point.owner()), (Some(memory.clone()), Some("u1")));
        assert_eq!(point.of(&UserId::new("u2").unwrap()), None);
        let tombstone = Point::tombstone(&user, SourceKind::Chat, "c#1", 7);
        assert_eq!(
            (tombstone.memory(), tombstone.revision(), tombstone.owner()),
            (None, Some(7), Some("u1"))
        );
        let prepared = Prepared { memory, dense: None, sparse: None };
        assert_eq!(prepared.tombstone(), tombstone.id);
    }
}
