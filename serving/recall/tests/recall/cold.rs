//! Old memories in the cold index, seen through the door: found, corrected, deleted, erased, replayed, embedded anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Duration;
use crave_recall::{
    CONTEXT, Embedder, Error, Hit, IMPORTANCE, Memory, PINNED, Recall, SearchOptions, SourceKind,
};
use proptest::prelude::*;

use crate::support::hashed::Hashed;
use crate::support::needles::{Shape, measure};
use crate::support::{files, files_with, note, now, user};

const CANARY: &str = "zanzibarkaramell";
const OLD: i64 = 900;

fn old(owner: &str, source_id: &str, text: &str) -> Memory {
    aged(owner, source_id, text, OLD)
}

fn aged(owner: &str, source_id: &str, text: &str, days: i64) -> Memory {
    Memory { event_time: now() - Duration::days(days), ..note(owner, source_id, text) }
}

fn hashed() -> Option<Arc<dyn Embedder>> {
    Some(Arc::new(Hashed::new("hashed", 384)))
}

async fn retire(recall: &Recall) -> usize {
    let mut moved = 0;
    loop {
        match recall.retire(now()).await.unwrap() {
            0 => return moved,
            some => moved += some,
        }
    }
}

async fn ask(recall: &Recall, owner: &str, question: &str) -> Vec<String> {
    let hits = recall.search(&user(owner), question, &SearchOptions::new(now())).await.unwrap();
    hits.into_iter().map(|hit| hit.memory.source_id).collect()
}

#[tokio::test]
async fn what_is_old_moves_and_is_found_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), hashed()).await.unwrap();
    let trend = Memory { source_kind: SourceKind::Trend, ..old("ada", "t1", "fewer cravings that month") };
    let notes = vec![
        old("ada", "o1", "liquorice on the ferry with Nora"),
        old("ada", "o2", "pretzels in the attic"),
        aged("ada", "n1", "pretzels at the office", 2),
        old("bob", "o1", "liquorice in the lobby"),
        trend,
    ];
    recall.upsert(notes.clone()).await.unwrap();
    assert_eq!((retire(&recall).await, retire(&recall).await), (3, 0));
    let status = recall.status().await.unwrap();
    assert_eq!((status.memories, status.cold.memories, status.cold.broken), (2, 3, 0));
    assert!(status.cold.bytes > 0 && status.to_string().contains("3 cold"), "{status}");

    // Nothing hot speaks of it.
    assert_eq!(ask(&recall, "ada", "liquorice on the ferry").await, ["o1"]);
    // Something hot answers well: what is old is not looked for, unless a time is named.
    assert_eq!(ask(&recall, "ada", "pretzels at the office").await, ["n1"]);
    let year = (now() - Duration::days(OLD)).format("%B %Y").to_string();
    let found = ask(&recall, "ada", &format!("pretzels in {year}")).await;
    assert!(found.contains(&"o2".to_owned()), "{found:?}");
    // Listed, counted and read as before.
    let (listed, next) = recall.list(&user("ada"), None, 100).await.unwrap();
    assert!(next.is_none() && listed.is_sorted_by_key(Memory::id));
    assert_eq!((listed.len(), recall.count(&user("ada")).await.unwrap()), (4, 4));
    let got = recall.get(&user("ada"), notes.iter().map(Memory::id).collect()).await.unwrap();
    assert_eq!(got.len(), 4, "four are hers");
    assert!(got.contains(&notes[0]));
    let (mut paged, mut from) = (Vec::new(), None);
    loop {
        let (page, next) = recall.list(&user("ada"), from, 1).await.unwrap();
        paged.extend(page);
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(paged, listed);
    // RC-2.
    assert_eq!(ask(&recall, "eve", "liquorice").await, Vec::<String>::new());
    drop(recall);
    let recall = Recall::open(dir.path(), hashed()).await.unwrap();
    assert_eq!(ask(&recall, "bob", "liquorice").await, ["o1"]);
}

#[tokio::test]
async fn a_replay_from_zero_brings_nothing_twice_and_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), hashed()).await.unwrap();
    let all: Vec<Memory> =
        (0..20).map(|n| old("ada", &format!("o{n}"), &format!("fudge number {n}"))).collect();
    recall.upsert(all.clone()).await.unwrap();
    assert_eq!(retire(&recall).await, 20);
    recall.delete_source(&user("ada"), SourceKind::Note, "o3", None).await.unwrap();
    recall.delete_source(&user("ada"), SourceKind::Note, "o4", Some(0)).await.unwrap();
    let corrected = Memory { revision: 1, ..old("ada", "o5", "nougat, not fudge") };
    recall.upsert(vec![corrected.clone()]).await.unwrap();
    for _ in 0..2 {
        recall.upsert(all.clone()).await.unwrap();
        assert_eq!(recall.count(&user("ada")).await.unwrap(), 18);
        let (listed, _) = recall.list(&user("ada"), None, 100).await.unwrap();
        assert_eq!(listed.iter().filter(|memory| memory.source_id == "o5").collect::<Vec<_>>(), [&corrected]);
        assert!(listed.iter().all(|memory| memory.source_id != "o3" && memory.source_id != "o4"));
        assert!(!ask(&recall, "ada", "fudge number 3").await.contains(&"o3".to_owned()));
        retire(&recall).await;
    }
    assert_eq!(recall.status().await.unwrap().memories, 0, "all of it is old");
    assert_eq!(ask(&recall, "ada", "nougat").await, ["o5"]);
    // The same revision with other attributes is the newer one, as in the hot index.
    let mut changed = all[7].clone();
    changed.attributes.insert(CONTEXT.to_owned(), "asked before".into());
    recall.upsert(vec![changed.clone()]).await.unwrap();
    assert_eq!(recall.get(&user("ada"), vec![changed.id()]).await.unwrap(), [changed]);
    assert_eq!(recall.count(&user("ada")).await.unwrap(), 18);
}

/// PR-1.
#[tokio::test]
async fn erasing_and_deleting_leave_no_byte_of_what_was_cold() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), hashed()).await.unwrap();
    let doomed = (0..30).map(|n| old("doomedperson", &format!("src-doomed-{n}"), CANARY)).collect();
    recall.upsert(doomed).await.unwrap();
    recall
        .upsert(vec![old("other", "e1", "marzipan"), old("other", "e2", "secretword pudding")])
        .await
        .unwrap();
    retire(&recall).await;
    recall.scrub().await.unwrap();
    let cold: Vec<_> =
        files(dir.path()).into_iter().filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    assert_eq!(cold.len(), 2);
    assert!(
        !files_with(&dir.path().join("cold"), &["doomedperson"]).is_empty(),
        "nothing to be found even before"
    );
    assert!(files_with(dir.path(), &[CANARY]).is_empty(), "the hot index holds what moved still");
    recall.delete_source(&user("other"), SourceKind::Note, "e2", None).await.unwrap();
    recall.erase_user(&user("doomedperson")).await.unwrap();
    assert_eq!(
        files_with(dir.path(), &[CANARY, "doomedperson", "src-doomed"]),
        Vec::<std::path::PathBuf>::new()
    );
    assert_eq!(files(&dir.path().join("cold")).len(), 1);
    assert_eq!(recall.count(&user("doomedperson")).await.unwrap(), 0);
    assert_eq!(ask(&recall, "other", "pudding").await, Vec::<String>::new());
    assert_eq!(ask(&recall, "other", "marzipan").await, ["e1"]);
}

#[tokio::test]
async fn a_new_model_embeds_what_is_cold_anew_and_a_deletion_meanwhile_holds() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), hashed()).await.unwrap();
    recall
        .upsert((0..10).map(|n| old("ada", &format!("o{n}"), &format!("halva {n}"))).collect())
        .await
        .unwrap();
    retire(&recall).await;
    drop(recall);
    let other: Option<Arc<dyn Embedder>> = Some(Arc::new(Hashed::new("another", 32)));
    let recall = Recall::open(dir.path(), other).await.unwrap();
    recall.delete_source(&user("ada"), SourceKind::Note, "o1", None).await.unwrap();
    let mut embedded = 0;
    loop {
        match recall.embed_missing(4).await.unwrap() {
            0 => break,
            some => embedded += some,
        }
    }
    assert_eq!((embedded, recall.status().await.unwrap().awaiting_embedding), (9, 0));
    let hits = recall.search(&user("ada"), "halva 7", &SearchOptions::new(now())).await.unwrap();
    assert!(hits.len() == 9 && hits.iter().all(|hit| hit.parts.dense.is_some()), "{hits:?}");
}

#[tokio::test]
async fn a_damaged_file_is_named_and_stops_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    recall.upsert(vec![old("ada", "o1", "halva")]).await.unwrap();
    retire(&recall).await;
    let file = files(&dir.path().join("cold")).remove(0);
    recall.upsert(vec![old("bob", "o1", "halva")]).await.unwrap();
    retire(&recall).await;
    drop(recall);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    assert_eq!(ask(&recall, "bob", "halva").await, ["o1"]);
    let error = recall.search(&user("ada"), "halva", &SearchOptions::new(now())).await.unwrap_err();
    assert!(matches!(&error, Error::ColdBroken { path, .. } if *path == file), "{error}");
    // In one batch with somebody else, as a follower of the log writes.
    recall.upsert(vec![old("ada", "o1", "halva"), old("bob", "o2", "more halva")]).await.unwrap();
    assert_eq!(ask(&recall, "bob", "more halva").await, ["o2"]);
    assert!(recall.delete_source(&user("ada"), SourceKind::Note, "o1", None).await.is_err());
    assert_eq!(recall.retire(now()).await.unwrap(), 1, "bob's moves, hers was deleted");
    recall.erase_user(&user("ada")).await.unwrap();
    assert_eq!(ask(&recall, "ada", "halva").await, Vec::<String>::new());
}

#[tokio::test]
async fn pinned_and_weighty_memories_move_like_others() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    let mut pinned = old("ada", "o1", "allergic to halva");
    pinned.attributes.insert(PINNED.to_owned(), true.into());
    pinned.attributes.insert(IMPORTANCE.to_owned(), 0.9.into());
    recall.upsert(vec![pinned.clone()]).await.unwrap();
    assert_eq!(retire(&recall).await, 1);
    assert_eq!(recall.get(&user("ada"), vec![pinned.id()]).await.unwrap(), [pinned]);
}

/// A small run of `cargo bench --bench needles`.
#[tokio::test(flavor = "multi_thread")]
async fn needles_of_the_first_year_are_found_in_the_third() {
    let shape = Shape { years: 3, per_day: 1, questions: 60 };
    let found = measure(&shape, Arc::new(Hashed::new("hashed", 256))).await;
    let hot: Vec<usize> = found.by_year.iter().map(|(hot, ..)| *hot).collect();
    assert!(hot[2] <= hot[1] + 31, "the hot index grows: {hot:?}");
    let [tiered, whole] = found.recall(|_| true);
    assert!(whole > 0.8 && tiered >= 0.9 * whole, "{tiered} of {whole}");
}

#[derive(Clone, Debug)]
enum Op {
    Write(u8, u32, u8),
    Delete(u8, u32),
    Move,
    Search(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (0_u8..30, 0_u32..3, 0_u8..8).prop_map(|(source, revision, words)| Op::Write(source, revision, words)),
        1 => (0_u8..30, 0_u32..3).prop_map(|(source, through)| Op::Delete(source, through)),
        1 => Just(Op::Move),
        2 => (0_u8..8).prop_map(Op::Search),
    ];
    prop::collection::vec(op, 20..80)
}

const WORDS: [&str; 8] = ["halva", "pretzel", "fudge", "ferry", "attic", "rain", "sister", "office"];

fn written(source: u8, revision: u32, words: u8) -> Memory {
    let word = |at: u8| WORDS[usize::from(at) % WORDS.len()];
    let text = format!("{} {} {}", word(words), word(words / 2 + source), word(source));
    let days = if source.is_multiple_of(3) { 10 } else { 600 + i64::from(source) };
    Memory { revision, ..aged("ada", &format!("s{source}"), &text, days) }
}

/// Whether hits of one index are those of the other, but for what packing vectors loses: a hit that is barely near enough
/// in one may be missing in the other.
fn alike(one: &[Hit], other: &[Hit]) -> bool {
    let by_id = |hits: &[Hit]| -> BTreeMap<_, _> { hits.iter().map(|hit| (hit.id, hit.clone())).collect() };
    let cosine = |hit: &Hit| hit.parts.dense.unwrap_or(-9.0);
    let near = |x: f64, y: f64| (x - y).abs() < 0.05;
    let all_in = |a: &[Hit], b: &[Hit]| {
        let b = by_id(b);
        a.iter().all(|hit| match b.get(&hit.id) {
            Some(same) => {
                hit.memory == same.memory
                    && (hit.parts.lexical - same.parts.lexical).abs() < 1e-4
                    && (cosine(hit) - cosine(same)).abs() < 0.02
                    && near(hit.score, same.score)
            }
            None => hit.parts.lexical == 0.0 && cosine(hit) < 0.22,
        })
    };
    all_in(one, other) && all_in(other, one)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    /// Whatever is written, deleted and moved in between, both indexes give the same hits.
    #[test]
    fn hot_and_cold_together_are_one_index(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let tiered = Recall::open(dir.path(), hashed()).await.unwrap();
            let whole = Recall::open(other.path(), hashed()).await.unwrap();
            for op in ops {
                match op {
                    Op::Write(source, revision, words) => {
                        for recall in [&tiered, &whole] {
                            recall.upsert(vec![written(source, revision, words)]).await.unwrap();
                        }
                    }
                    Op::Delete(source, through) => {
                        for recall in [&tiered, &whole] {
                            let source = format!("s{source}");
                            recall.delete_source(&user("ada"), SourceKind::Note, &source, Some(through)).await.unwrap();
                        }
                    }
                    Op::Move => {
                        retire(&tiered).await;
                    }
                    Op::Search(words) => {
                        // A time that all is in, so that what is cold is looked at; all hits, so that no tie decides.
                        let words = usize::from(words);
                        let question = format!("{} {} ever", WORDS[words], WORDS[words / 2]);
                        let options = SearchOptions { k: 200, ..SearchOptions::new(now()) };
                        let one = tiered.search(&user("ada"), &question, &options).await.unwrap();
                        let other = whole.search(&user("ada"), &question, &options).await.unwrap();
                        prop_assert!(alike(&one, &other), "{}: {:?}\n{:?}", question, one, other);
                    }
                }
            }
            let (one, _) = tiered.list(&user("ada"), None, 1000).await.unwrap();
            let (other, _) = whole.list(&user("ada"), None, 1000).await.unwrap();
            prop_assert_eq!(one, other);
            Ok(())
        })?;
    }
}
