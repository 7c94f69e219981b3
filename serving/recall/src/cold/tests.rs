//! The cold index alone: against a map in memory, cut off, damaged, over its bounds.

use std::fs;
use std::path::Path;

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use qdrant_edge::SparseVector;

use super::*;
use crate::memory::{IMPORTANCE, PINNED};
use crate::store::{Prepared, Scope};
use crate::{ErrorKind, SourceKind};

const MODEL: &str = "m/8";

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// A note `days` after 2020, with a meaning and words of its own.
fn item(owner: &str, source: &str, revision: u32, days: i64) -> Prepared {
    let time = DateTime::from_timestamp(1_577_836_800, 0).unwrap() + TimeDelta::days(days);
    let memory =
        Memory::new(user(owner), SourceKind::Note, source, time, format!("text of {source} {revision}"));
    let seed = memory.id().0.as_u128().wrapping_add(revision.into());
    let number = |at: u32| ((seed >> (at * 8)) & 0xff) as f32 / 255.0 - 0.5;
    let dense: Vec<f32> = (0..8).map(number).collect();
    let words = SparseVector { indices: vec![1, 2 + (seed % 5) as u32, 100], values: vec![1.0, 0.5, 0.25] };
    Prepared { memory: Memory { revision, ..memory }, dense: Some(dense), sparse: Some(words) }
}

fn moved(cold: &Cold, owner: &str, items: Vec<Prepared>) {
    let done = cold.begin(&user(owner), MODEL, items).unwrap();
    cold.finish(&done).unwrap();
}

fn all(cold: &Cold, owner: &str) -> Vec<(String, u32)> {
    let ids: Vec<Uuid> = cold.roster(&user(owner)).unwrap().ids(None).collect();
    let memories = cold.get(&user(owner), &ids).unwrap();
    let mut all: Vec<_> = memories.into_iter().map(|memory| (memory.source_id, memory.revision)).collect();
    all.sort();
    all
}

fn open(dir: &Path) -> Cold {
    Cold::open(ColdOptions::new(dir)).unwrap()
}

fn files_of(dir: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())).collect();
    files.sort();
    files
}

#[test]
fn what_moves_is_found_with_its_vectors_by_its_person_alone() {
    let dir = tempfile::tempdir().unwrap();
    let cold = open(dir.path());
    let items: Vec<Prepared> = (0..500).map(|n| item("ada", &format!("e{n}"), 0, n)).collect();
    moved(&cold, "ada", items.clone());
    moved(&cold, "bob", vec![item("bob", "e7", 0, 7)]);
    let wanted = items[123].clone();
    let scope = Scope::default();
    let sought = Sought {
        meaning: Some((wanted.dense.as_deref().unwrap(), MODEL)),
        words: wanted.sparse.as_ref(),
        scope: &scope,
        limit: 5,
    };
    let found = cold.search(&user("ada"), &sought).unwrap();
    assert!((5..=10).contains(&found.len()), "{}", found.len());
    let hit = found.iter().find(|one| one.memory == wanted.memory).unwrap();
    assert_eq!(hit.sparse, wanted.sparse);
    let mut pairs = hit.dense.iter().flatten().zip(wanted.dense.iter().flatten());
    assert!(pairs.all(|(a, b)| (a - b).abs() < 0.005));
    // Another model's vectors are not compared, and not given either.
    let other = Sought { meaning: Some((&[0.1; 8], "other/8")), words: None, ..sought };
    assert!(cold.search(&user("ada"), &other).unwrap().is_empty());
    assert!(cold.search(&user("eve"), &sought).unwrap().is_empty());
    // A scope narrows it.
    let scope = Scope { until: Some(items[50].memory.event_time), ..Scope::default() };
    let found = cold.search(&user("ada"), &Sought { scope: &scope, limit: 1000, ..sought }).unwrap();
    assert_eq!(found.len(), 50);
    let ids: Vec<Uuid> = [3, 400].map(|n: usize| items[n].memory.id().0).to_vec();
    let beside = cold.neighbours(&user("ada"), &ids, &Sought { scope: &scope, ..sought }).unwrap();
    assert_eq!(beside.iter().map(|one| one.memory.source_id.as_str()).collect::<Vec<_>>(), ["e3"]);
}

#[test]
fn a_move_that_was_cut_off_is_told_and_ended_after_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    let cold = open(dir.path());
    let begun =
        cold.begin(&user("ada"), MODEL, vec![item("ada", "e1", 0, 1), item("ada", "e2", 0, 2)]).unwrap();
    drop(cold);
    fs::write(files_of(dir.path())[0].with_extension("tmp"), "half").unwrap();
    let cold = open(dir.path());
    assert_eq!(cold.pending(), std::slice::from_ref(&begun));
    assert_eq!(all(&cold, "ada").len(), 2);
    cold.finish(&begun).unwrap();
    cold.finish(&begun).unwrap();
    assert!(cold.pending().is_empty());
    assert!(open(dir.path()).pending().is_empty());
    assert_eq!(files_of(dir.path()).len(), 1);
}

#[test]
fn files_that_were_merged_go_at_the_next_opening_where_a_crash_left_them() {
    let dir = tempfile::tempdir().unwrap();
    let cold = open(dir.path());
    for n in 0..7 {
        moved(&cold, "ada", vec![item("ada", &format!("e{n}"), 0, n)]);
    }
    let before = files_of(dir.path());
    assert_eq!(before.len(), 7);
    let kept: Vec<(PathBuf, Vec<u8>)> =
        before.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    moved(&cold, "ada", vec![item("ada", "e7", 0, 7)]);
    assert_eq!(files_of(dir.path()).len(), 1);
    assert_eq!(all(&cold, "ada").len(), 8);
    drop(cold);
    // The crash: the merged file is there, and so are those that it replaces.
    for (path, bytes) in kept {
        fs::write(path, bytes).unwrap();
    }
    let cold = open(dir.path());
    assert_eq!(files_of(dir.path()).len(), 1);
    assert_eq!((all(&cold, "ada").len(), cold.totals().memories), (8, 8));
}

#[test]
fn what_was_deleted_or_erased_leaves_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let cold = open(dir.path());
    let chunk = |chunk: u32, revision: u32| {
        let mut one = item("ada", "journal", revision, 3);
        one.memory.chunk = chunk;
        one
    };
    moved(&cold, "ada", vec![chunk(0, 0), chunk(1, 2), item("ada", "other", 0, 1)]);
    moved(&cold, "bob", vec![item("bob", "journal", 0, 3)]);
    cold.delete_source(&user("ada"), SourceKind::Chat, "journal", 9).unwrap();
    assert_eq!(all(&cold, "ada").len(), 3);
    cold.delete_source(&user("ada"), SourceKind::Note, "journal", 1).unwrap();
    assert_eq!(all(&cold, "ada"), [("journal".to_owned(), 2), ("other".to_owned(), 0)]);
    let only = chunk(1, 2).memory.id().0;
    cold.supersede(&user("ada"), &HashMap::from([(only, 1)])).unwrap();
    assert_eq!(all(&cold, "ada").len(), 2, "a newer one stays");
    cold.supersede(&user("ada"), &HashMap::from([(only, 3)])).unwrap();
    assert_eq!(all(&cold, "ada"), [("other".to_owned(), 0)]);
    let texts = |dir: &Path| -> Vec<String> {
        let open = |path: &PathBuf| Segment::open(path).unwrap().items().unwrap();
        files_of(dir).iter().flat_map(open).map(|item| item.memory.text).collect()
    };
    assert!(!texts(dir.path()).iter().any(|text| text.contains("journal 2")), "the file holds it still");
    cold.delete_source(&user("ada"), SourceKind::Note, "other", 0).unwrap();
    assert!(!cold.has(&user("ada")) && files_of(dir.path()).len() == 1, "an empty folder stays");
    cold.erase(&user("bob")).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(cold.totals(), Totals::default());
}

#[test]
fn over_the_bound_the_least_important_go_and_peaks_and_pinned_never() {
    let dir = tempfile::tempdir().unwrap();
    let options = ColdOptions { user_bytes_max: 20_000, ..ColdOptions::new(dir.path()) };
    let cold = Cold::open(options).unwrap();
    let with = |n: i64, name: &str, value: serde_json::Value| {
        let mut one = item("ada", &format!("e{n:04}"), 0, n);
        one.memory.attributes.insert(name.to_owned(), value);
        one
    };
    let items = (0..400).map(|n| match n % 4 {
        0 if n < 40 => with(n, IMPORTANCE, 0.9.into()),
        1 if n < 40 => with(n, PINNED, true.into()),
        2 => with(n, IMPORTANCE, 0.1.into()),
        _ => item("ada", &format!("e{n:04}"), 0, n),
    });
    moved(&cold, "ada", items.collect());
    let totals = cold.totals();
    assert!(totals.bytes <= 20_000 && totals.memories > 100, "{totals:?}");
    let left = all(&cold, "ada");
    let n = |(source, _): &(String, u32)| source[1..].parse::<u32>().unwrap();
    let kept = left.iter().map(n).filter(|n| n % 4 < 2 && *n < 40).count();
    assert_eq!(kept, 20, "a peak or a pinned one went");
    assert!(left.iter().map(n).all(|n| n % 4 != 2), "an unimportant one stayed while others went");
    let oldest = left.iter().map(n).filter(|n| *n >= 40).min().unwrap();
    assert!(oldest > 100, "of equal ones the oldest goes first: {oldest}");
}

#[test]
fn over_the_bound_of_all_only_those_with_most_give() {
    let dir = tempfile::tempdir().unwrap();
    let options = ColdOptions { bytes_max: 60_000, ..ColdOptions::new(dir.path()) };
    let cold = Cold::open(options).unwrap();
    let many = |owner: &str, count: i64| (0..count).map(|n| item(owner, &format!("e{n}"), 0, n)).collect();
    moved(&cold, "small", many("small", 30));
    moved(&cold, "large", many("large", 600));
    let totals = cold.totals();
    assert!(totals.bytes <= 60_000, "{totals:?}");
    assert_eq!(all(&cold, "small").len(), 30);
    assert!(all(&cold, "large").len() > 100);
}

#[test]
fn a_changed_model_is_caught_up_file_by_file() {
    let dir = tempfile::tempdir().unwrap();
    let cold = open(dir.path());
    moved(&cold, "ada", vec![item("ada", "e1", 0, 1), item("ada", "e2", 0, 2)]);
    moved(&cold, "bob", vec![Prepared { dense: None, ..item("bob", "e3", 0, 3) }, item("bob", "e4", 0, 4)]);
    assert_eq!((cold.lacking(MODEL), cold.lacking("new/4")), (1, 4));
    let mut after = None;
    let mut seen = 0;
    while let Some(awaiting) = cold.awaiting("new/4", after) {
        after = Some(awaiting.place);
        seen += awaiting.memories.len();
        // One is deleted meanwhile, and stays so.
        cold.delete_source(&user("ada"), SourceKind::Note, "e2", 0).unwrap();
        let meanings = awaiting.memories.iter().map(|memory| (memory.id().0, vec![0.5; 4]));
        cold.embedded(&awaiting, "new/4", meanings.collect()).unwrap();
    }
    assert!((3..=4).contains(&seen));
    assert_eq!(cold.lacking("new/4"), 0);
    assert_eq!(all(&cold, "ada"), [("e1".to_owned(), 0)]);
    let scope = Scope::default();
    let sought = Sought { meaning: Some((&[0.5; 4], "new/4")), words: None, scope: &scope, limit: 9 };
    assert_eq!(cold.search(&user("bob"), &sought).unwrap().len(), 2);
}

#[test]
fn a_damaged_file_is_an_error_of_its_person_alone() {
    let dir = tempfile::tempdir().unwrap();
    let cold = open(dir.path());
    moved(&cold, "ada", (0..50).map(|n| item("ada", &format!("e{n}"), 0, n)).collect());
    let path = files_of(dir.path()).remove(0);
    moved(&cold, "bob", vec![item("bob", "e1", 0, 1)]);
    let whole = fs::read(&path).unwrap();
    let scope = Scope::default();
    let sought = Sought { meaning: Some((&[0.1; 8], MODEL)), words: None, scope: &scope, limit: 1000 };
    let read = |cold: &Cold| -> Result<usize> {
        let found = cold.search(&user("ada"), &sought)?.len();
        let ids: Vec<Uuid> = cold.roster(&user("ada"))?.ids(None).collect();
        Ok(cold.get(&user("ada"), &ids)?.len().min(found))
    };
    let mut places: Vec<usize> = (0..400).chain((400..whole.len()).step_by(97)).collect();
    places.push(whole.len() - 1);
    for at in places {
        for damaged in [whole[..at].to_vec(), {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x40;
            flipped
        }] {
            fs::write(&path, damaged).unwrap();
            // Found open, and while it is open.
            for cold in [&open(dir.path()), &cold] {
                cold.rosters().clear();
                let error = read(cold).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{at}: {error}");
                assert!(error.to_string().contains("replay the memory log"), "{error}");
                assert_eq!(all(cold, "bob").len(), 1);
            }
        }
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(read(&open(dir.path())).unwrap(), 50);
    // Erasing needs to read nothing.
    fs::write(&path, &whole[..30]).unwrap();
    let cold = open(dir.path());
    assert_eq!(cold.totals().broken, 1);
    cold.erase(&user("ada")).unwrap();
    assert_eq!((cold.totals().broken, files_of(dir.path()).len()), (0, 1));
}

#[derive(Clone, Debug)]
enum Op {
    Move(Vec<(u8, u8, u32)>),
    Delete(u8, u8, u32),
    Supersede(u8, u8, u32),
    Erase(u8),
    Reopen,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let one = || (0_u8..3, 0_u8..12, 0_u32..3);
    prop::collection::vec(
        prop_oneof![
            4 => prop::collection::vec(one(), 1..6).prop_map(Op::Move),
            2 => one().prop_map(|(user, source, revision)| Op::Delete(user, source, revision)),
            2 => one().prop_map(|(user, source, revision)| Op::Supersede(user, source, revision)),
            1 => (0_u8..3).prop_map(Op::Erase),
            1 => Just(Op::Reopen),
        ],
        1..40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever is done, the same memories are there as in a map.
    #[test]
    fn it_holds_what_a_map_would(ops in ops()) {
        let dir = tempfile::tempdir().unwrap();
        let mut cold = open(dir.path());
        let mut expected: BTreeMap<(u8, u8), u32> = BTreeMap::new();
        let name = |user: u8| format!("u{user}");
        let source = |source: u8| format!("s{source}");
        for op in ops {
            match op {
                Op::Move(items) => {
                    // What moves is not here before: a newer revision in the hot index has superseded it.
                    let items: BTreeMap<(u8, u8), u32> = items.into_iter().map(|(u, s, r)| ((u, s), r)).collect();
                    for who in 0..3 {
                        let new = items.iter().filter(|(at, _)| at.0 == who && !expected.contains_key(at));
                        let new: Vec<Prepared> =
                            new.map(|((u, s), r)| item(&name(*u), &source(*s), *r, i64::from(*s))).collect();
                        if !new.is_empty() {
                            moved(&cold, &name(who), new);
                        }
                    }
                    for (at, revision) in items {
                        expected.entry(at).or_insert(revision);
                    }
                }
                Op::Delete(u, s, through) => {
                    cold.delete_source(&user(&name(u)), SourceKind::Note, &source(s), through).unwrap();
                    if expected.get(&(u, s)).is_some_and(|revision| *revision <= through) {
                        expected.remove(&(u, s));
                    }
                }
                Op::Supersede(u, s, through) => {
                    let id = item(&name(u), &source(s), 0, 0).memory.id().0;
                    cold.supersede(&user(&name(u)), &HashMap::from([(id, through)])).unwrap();
                    if expected.get(&(u, s)).is_some_and(|revision| *revision <= through) {
                        expected.remove(&(u, s));
                    }
                }
                Op::Erase(u) => {
                    cold.erase(&user(&name(u))).unwrap();
                    expected.retain(|at, _| at.0 != u);
                }
                Op::Reopen => cold = open(dir.path()),
            }
            for u in 0..3 {
                let mine = expected.iter().filter(|(at, _)| at.0 == u);
                let mut mine: Vec<(String, u32)> = mine.map(|((_, s), r)| (source(*s), *r)).collect();
                mine.sort();
                prop_assert_eq!(all(&cold, &name(u)), mine);
            }
            prop_assert_eq!(cold.totals().memories, expected.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever stands in a file, and its checksums put right or not, it is told or it is that many memories.
    #[test]
    fn a_file_with_other_bytes_is_read_or_refused(
        at in any::<prop::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 1..9),
        length in any::<prop::sample::Index>(),
    ) {
        let mut items: Vec<Prepared> = (0..3).map(|n| item("ada", &format!("e{n}"), 0, n)).collect();
        items.sort_by_key(|item| item.memory.id().0);
        let mut file = segment::encode(&user("ada"), Some(MODEL), vec![7], &items).unwrap();
        fuzz::cold_file(&file[..length.index(file.len())]);
        let at = at.index(file.len());
        let end = (at + bytes.len()).min(file.len());
        file[at..end].copy_from_slice(&bytes[..end - at]);
        fuzz::cold_file(&file);
    }
}
