//! Decides which memories of a batch may be written; the same for every store, and pure.
//!
//! The writer of a store reads the revisions that are stored, and those that tombstones cover, asks, then writes.

use std::collections::HashMap;

use uuid::Uuid;

use super::point::{Meaning, Point, Prepared};

/// One memory an id: the highest revision, of equals the last.
pub(super) fn newest(memories: Vec<Prepared>) -> HashMap<Uuid, Prepared> {
    let mut newest: HashMap<Uuid, Prepared> = HashMap::with_capacity(memories.len());
    for one in memories {
        let id = one.id();
        if newest.get(&id).is_none_or(|other| other.memory.revision <= one.memory.revision) {
            newest.insert(id, one);
        }
    }
    newest
}

/// The ids whose revisions decide: of the memories themselves and of the tombstones of their sources.
pub(super) fn deciding(newest: &HashMap<Uuid, Prepared>) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = newest.iter().flat_map(|(id, one)| [*id, one.tombstone()]).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Those that neither a tombstone covers nor a stored revision exceeds; `stored` holds the revisions of
/// [`deciding`] ids that are there.
pub(super) fn admitted(newest: HashMap<Uuid, Prepared>, stored: &HashMap<Uuid, u32>) -> Vec<Point> {
    let fits = |(id, one): &(Uuid, Prepared)| {
        let revision = one.memory.revision;
        let dead = stored.get(&one.tombstone()).is_some_and(|through| revision <= *through);
        let outdated = stored.get(id).is_some_and(|before| *before > revision);
        !(dead || outdated)
    };
    newest.into_iter().filter(fits).map(|(_, one)| one.into_point()).collect()
}

/// The stored points of `meanings` with their vectors, of those whose text is still the one that was embedded.
pub(super) fn with_meanings(stored: Vec<Point>, meanings: Vec<Meaning>) -> Vec<Point> {
    let mut meanings: HashMap<Uuid, Meaning> = meanings.into_iter().map(|one| (one.id.0, one)).collect();
    let embed = |mut point: Point| {
        let meaning = meanings.remove(&point.id)?;
        let same = point.memory().is_some_and(|memory| memory.embedded() == meaning.text);
        point.dense = Some(meaning.vector);
        same.then_some(point)
    };
    stored.into_iter().filter_map(embed).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use crave_schemas::UserId;

    use super::*;
    use crate::{Memory, SourceKind};

    fn prepared(source: &str, revision: u32, text: &str) -> Prepared {
        let user = UserId::new("u1").unwrap();
        let memory = Memory::new(user, SourceKind::Note, source, DateTime::UNIX_EPOCH, text);
        Prepared { memory: Memory { revision, ..memory }, dense: None, sparse: None }
    }

    #[test]
    fn revisions_and_tombstones_decide() {
        let id = |source: &str| prepared(source, 0, "x").id();
        let tombstone = |source: &str| prepared(source, 0, "x").tombstone();
        let table = [
            // What is written, the stored revision, what the tombstone covers, whether it is admitted.
            (1, None, None, true),
            (1, Some(0), None, true),
            (1, Some(1), None, true),
            (1, Some(2), None, false),
            (1, None, Some(0), true),
            (1, None, Some(1), false),
            (u32::MAX, None, Some(u32::MAX), false),
        ];
        for (revision, stored, through, expected) in table {
            let newest = newest(vec![prepared("a", revision, "x")]);
            assert_eq!(deciding(&newest).len(), 2);
            let pairs = stored.map(|r| (id("a"), r)).into_iter().chain(through.map(|r| (tombstone("a"), r)));
            let written = admitted(newest, &pairs.collect());
            assert_eq!(written.len(), usize::from(expected), "{revision} {stored:?} {through:?}");
        }
    }

    #[test]
    fn of_equal_revisions_the_last_is_written() {
        let written =
            newest(vec![prepared("a", 1, "first"), prepared("a", 1, "last"), prepared("a", 0, "old")]);
        assert_eq!(written.into_values().map(|one| one.memory.text).collect::<Vec<_>>(), ["last"]);
    }

    #[test]
    fn a_vector_of_another_text_is_dropped() {
        let stored = vec![prepared("a", 0, "new text").into_point(), prepared("b", 0, "same").into_point()];
        let meaning = |source: &str, text: &str| Meaning {
            id: crate::MemoryId(prepared(source, 0, "x").id()),
            text: text.to_owned(),
            vector: vec![1.0],
        };
        let all = vec![meaning("a", "old text"), meaning("b", "same"), meaning("gone", "any")];
        let written = with_meanings(stored, all);
        assert_eq!(written.len(), 1);
        assert_eq!(written[0].dense, Some(vec![1.0]));
        assert_eq!(written[0].memory().unwrap().source_id, "b");
    }
}
