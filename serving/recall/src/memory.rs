//! A memory: one piece of text of one person, with the place it came from.

use std::fmt;

use chrono::{DateTime, Utc};
use crave_schemas::UserId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Result};

/// The bounds of everything that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest text of a memory, in bytes. Longer texts come as chunks.
    pub text_bytes_max: usize,
    /// Longest source id, in bytes.
    pub source_id_bytes_max: usize,
    /// Largest attributes object, in bytes of JSON.
    pub attributes_bytes_max: usize,
    /// Longest query, in bytes.
    pub query_bytes_max: usize,
    /// Most memories in one call of `upsert`.
    pub upsert_memories_max: usize,
    /// Most hits of a search, and most candidates each retriever gives.
    pub hits_max: usize,
    /// Most memories in one page of a list, and most ids in one `get`.
    pub page_memories_max: usize,
}

/// The bounds in force.
pub const LIMITS: Limits = Limits {
    text_bytes_max: 16 * 1024,
    source_id_bytes_max: 256,
    attributes_bytes_max: 8 * 1024,
    query_bytes_max: 4 * 1024,
    upsert_memories_max: 1024,
    hits_max: 200,
    page_memories_max: 1000,
};

/// What a memory was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SourceKind {
    /// The free note of a craving, mood or other event; the source id is the event's.
    Note,
    /// A chunk of a journal entry.
    Journal,
    /// A trend marker: a sentence with numbers about a period.
    Trend,
    /// A turn of a conversation.
    Chat,
    /// A chunk of an uploaded document.
    Document,
}

impl SourceKind {
    /// The name used in JSON and on disk.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Journal => "journal",
            Self::Trend => "trend",
            Self::Chat => "chat",
            Self::Document => "document",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The attribute that tells who said it.
pub const SPEAKER: &str = "speaker";
/// The attribute with what was said just before: embedded with the text, not searched by its words, not shown.
pub const CONTEXT: &str = "context";
/// The attribute that tells how much it mattered to the person, 0 to 1.
pub const IMPORTANCE: &str = "importance";
/// From this importance on a memory is an episodic peak: it is never dropped for room.
pub const PEAK: f32 = 0.8;
/// The attribute that keeps it: where it is `true`, the memory is never dropped for room.
pub const PINNED: &str = "pinned";
/// The attribute with its emotions: an object of label and confidence, 0 to 1.
pub const EMOTIONS: &str = "emotions";

/// Identifies a memory: the same user, source and chunk have the same id, whenever and wherever it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemoryId(pub Uuid);

impl fmt::Display for MemoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One piece of text of one person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Whose it is: the tenant.
    pub user_id: UserId,
    /// What it was made from.
    pub source_kind: SourceKind,
    /// The event, trend row, turn or document it was made from.
    pub source_id: String,
    /// Its place among the chunks of that source, from 0.
    #[serde(default)]
    pub chunk: u32,
    /// The source's revision: a lower one never overwrites a higher one.
    #[serde(default)]
    pub revision: u32,
    /// When it happened (not when it was written down).
    pub event_time: DateTime<Utc>,
    /// The text itself.
    pub text: String,
    /// What the maker wants back with a hit (a trend's period and predicate, a chunk's byte range); not searched.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

impl Memory {
    /// A first-revision memory of one chunk, without attributes.
    #[must_use]
    pub fn new(
        user_id: UserId,
        source_kind: SourceKind,
        source_id: impl Into<String>,
        event_time: DateTime<Utc>,
        text: impl Into<String>,
    ) -> Self {
        let attributes = serde_json::Map::new();
        let (source_id, text) = (source_id.into(), text.into());
        Self { user_id, source_kind, source_id, chunk: 0, revision: 0, event_time, text, attributes }
    }

    /// The memory's id: a UUIDv5 of user, source kind, source id and chunk.
    #[must_use]
    pub fn id(&self) -> MemoryId {
        let chunk = self.chunk.to_be_bytes();
        MemoryId(derive(&self.user_id, b"memory", self.source_kind, &self.source_id, &chunk))
    }

    /// An attribute of text.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).and_then(serde_json::Value::as_str)
    }

    /// What its words are taken from: who said it, and the text.
    pub(crate) fn worded(&self) -> String {
        self.attribute(SPEAKER)
            .map_or_else(|| self.text.clone(), |speaker| format!("{speaker}: {}", self.text))
    }

    /// What is embedded: the same, after what was said before it.
    pub(crate) fn embedded(&self) -> String {
        self.attribute(CONTEXT)
            .map_or_else(|| self.worded(), |context| format!("{context}\n{}", self.worded()))
    }

    /// The sequence in which it stands and its place there: a source id `x#7` is the seventh of the sequence `x`; else
    /// the chunks of a source are one.
    #[must_use]
    pub fn place(&self) -> (&str, u32) {
        let numbered = self.source_id.rsplit_once('#').and_then(|(id, n)| Some((id, n.parse().ok()?)));
        numbered.unwrap_or((&self.source_id, self.chunk))
    }

    /// The ids of what may stand just before and after it in its sequence.
    pub(crate) fn neighbours(&self) -> Vec<MemoryId> {
        let (sequence, position) = self.place();
        let beside = [position.checked_sub(1), position.checked_add(1)].into_iter().flatten();
        let id = |position: u32| {
            let numbered = format!("{sequence}#{position}");
            let (source, chunk) =
                if sequence == self.source_id { (sequence, position) } else { (numbered.as_str(), 0) };
            MemoryId(derive(&self.user_id, b"memory", self.source_kind, source, &chunk.to_be_bytes()))
        };
        beside.map(id).collect()
    }

    /// Checks every bound of [`LIMITS`].
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first field that is out of bounds.
    pub fn check(&self) -> Result<()> {
        check_source_id(&self.source_id)?;
        if self.text.trim().is_empty() {
            return Err(Error::invalid("text", "is empty; leave the memory out"));
        }
        if self.text.len() > LIMITS.text_bytes_max {
            let (len, max) = (self.text.len(), LIMITS.text_bytes_max);
            return Err(Error::invalid(
                "text",
                format!("has {len} bytes; split it into chunks of at most {max}"),
            ));
        }
        if !self.attributes.is_empty() {
            let bytes = serde_json::to_vec(&self.attributes).map_or(usize::MAX, |json| json.len());
            if bytes > LIMITS.attributes_bytes_max {
                let max = LIMITS.attributes_bytes_max;
                return Err(Error::invalid("attributes", format!("may have at most {max} bytes of JSON")));
            }
        }
        Ok(())
    }
}

/// The id of the tombstone of a source.
pub(crate) fn tombstone_id(user: &UserId, kind: SourceKind, source_id: &str) -> Uuid {
    derive(user, b"tombstone", kind, source_id, &[])
}

pub(crate) fn check_source_id(source_id: &str) -> Result<()> {
    if source_id.is_empty() || source_id.len() > LIMITS.source_id_bytes_max {
        let max = LIMITS.source_id_bytes_max;
        return Err(Error::invalid("source_id", format!("must have 1 to {max} bytes")));
    }
    Ok(())
}

/// Each part is preceded by its length, so that no two different sources spell the same name.
fn derive(user: &UserId, what: &[u8], kind: SourceKind, source_id: &str, rest: &[u8]) -> Uuid {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_OID, user.as_str().as_bytes());
    let mut name = Vec::with_capacity(64);
    for part in [what, kind.as_str().as_bytes(), source_id.as_bytes(), rest] {
        name.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        name.extend_from_slice(part);
    }
    Uuid::new_v5(&namespace, &name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn memory(user: &str, source: &str, text: &str) -> Memory {
        Memory::new(UserId::new(user).unwrap(), SourceKind::Note, source, DateTime::UNIX_EPOCH, text)
    }

    #[test]
    fn bounds_name_the_field() {
        let long = "x".repeat(LIMITS.text_bytes_max + 1);
        let cases = [
            (memory("u", "s", "a text"), None),
            (memory("u", "", "a text"), Some("source_id")),
            (memory("u", &"s".repeat(257), "a text"), Some("source_id")),
            (memory("u", "s", " \n"), Some("text")),
            (memory("u", "s", &long), Some("text")),
            (
                Memory {
                    attributes: [("a".to_owned(), "x".repeat(9000).into())].into_iter().collect(),
                    ..memory("u", "s", "t")
                },
                Some("attributes"),
            ),
        ];
        for (memory, field) in cases {
            let named = memory.check().err().map(|error| match error {
                Error::Invalid { field, .. } => field,
                _ => "another error",
            });
            assert_eq!(named, field);
        }
    }

    #[test]
    fn a_row_of_the_memory_topic_reads_without_chunk_and_revision() {
        let row = r#"{"user_id":"u1","source_kind":"note","source_id":"e1","event_time":"2026-01-02T03:04:05Z","text":"x"}"#;
        let memory: Memory = serde_json::from_str(row).unwrap();
        assert_eq!((memory.chunk, memory.revision, memory.attributes.len()), (0, 0, 0));
    }

    #[test]
    fn neighbours_stand_before_and_after() {
        let turn = |n: u32| memory("u1", &format!("talk#{n}"), "any").id();
        assert_eq!(memory("u1", "talk#7", "any").neighbours(), [turn(6), turn(8)]);
        assert_eq!(memory("u1", "talk#0", "any").neighbours(), [turn(1)]);
        let chunk = |chunk: u32| Memory { chunk, ..memory("u1", "e1", "any") };
        assert_eq!(chunk(1).neighbours(), [chunk(0).id(), chunk(2).id()]);
        assert_eq!((chunk(1).place(), memory("u1", "a#b", "any").place()), (("e1", 1), ("a#b", 0)));
    }

    #[test]
    fn who_speaks_and_what_came_before_are_embedded() {
        let mut one = memory("u1", "talk#7", "Yes, on Friday!");
        assert_eq!(one.embedded(), "Yes, on Friday!");
        one.attributes.insert(SPEAKER.to_owned(), "Nora".into());
        one.attributes.insert(CONTEXT.to_owned(), "Did you smoke?".into());
        assert_eq!(one.worded(), "Nora: Yes, on Friday!");
        assert_eq!(one.embedded(), "Did you smoke?\nNora: Yes, on Friday!");
    }

    #[test]
    fn the_id_is_pinned() {
        // A changed derivation would double every memory at the next replay.
        assert_eq!(memory("u1", "e1", "any").id().to_string(), PINNED);
    }

    const PINNED: &str = "1dd72cad-71f5-5793-8812-3bfb639e37f9";

    proptest! {
        #[test]
        fn ids_differ_where_their_parts_differ(
            user in "[a-b]{1,2}", other in "[a-b]{1,2}", source in "[a-b]{1,3}", second in "[a-b]{1,3}", chunk in 0_u32..3, next in 0_u32..3,
        ) {
            let one = Memory { chunk, ..memory(&user, &source, "x") };
            let two = Memory { chunk: next, ..memory(&other, &second, "y") };
            let same = user == other && source == second && chunk == next;
            prop_assert_eq!(one.id() == two.id(), same);
            prop_assert_ne!(one.id().0, tombstone_id(&two.user_id, two.source_kind, &two.source_id));
        }
    }
}
