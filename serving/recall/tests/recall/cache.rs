//! The caches: whatever is written, an answer from them is the answer without them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Duration, Utc};
use crave_recall::{
    Embedder, Embedders, Hit, Memory, Place, Recall, SearchOptions, SourceKind, Understander,
    labelled::Labeller,
};
use proptest::prelude::*;

use crate::support::hashed::Hashed;
use crate::support::{find, found, model, note, now, user};

const USERS: [&str; 3] = ["ada", "bob", "eve"];
const WORDS: [&str; 6] = ["chocolate", "chocolates", "liquorice", "walk", "boss", "train"];
const QUESTIONS: [&str; 6] = [
    "chocolate on the train",
    "what did the boss say yesterday",
    "liquorice in March",
    "walks since 2024 ever",
    "how often chocolates",
    "zeppelin walk",
];

#[derive(Clone, Debug)]
enum Op {
    Write {
        user: usize,
        source: u8,
        revision: u32,
        word: usize,
        days: i64,
    },
    Delete {
        user: usize,
        source: u8,
    },
    Erase(usize),
    Retire,
    EmbedSome,
    /// Each question as of so many days ahead of now, or behind.
    Search {
        user: usize,
        question: usize,
        days: i64,
        kinds: bool,
    },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let user = 0..USERS.len();
    let op = prop_oneof![
        5 => (user.clone(), 0_u8..12, 0_u32..3, 0..WORDS.len(), -3_i64..900)
            .prop_map(|(user, source, revision, word, days)| Op::Write { user, source, revision, word, days }),
        1 => (user.clone(), 0_u8..12).prop_map(|(user, source)| Op::Delete { user, source }),
        1 => user.clone().prop_map(Op::Erase),
        1 => Just(Op::Retire),
        2 => Just(Op::EmbedSome),
        9 => (user, 0..QUESTIONS.len(), -2_i64..3, any::<bool>())
            .prop_map(|(user, question, days, kinds)| Op::Search { user, question, days, kinds }),
    ];
    prop::collection::vec(op, 20..70)
}

fn written(owner: usize, source: u8, revision: u32, word: usize, days: i64) -> Memory {
    let text =
        format!("{} and {} number {source}", WORDS[word], WORDS[(word + usize::from(source)) % WORDS.len()]);
    let event_time = now() - Duration::days(days);
    Memory { revision, event_time, ..note(USERS[owner], &format!("s{source}"), &text) }
}

/// An index that embeds by one model and holds what another embedded before: a change of the model is under way.
async fn between_models(dir: &std::path::Path) -> Recall {
    let [old, new] = ["old", "new"].map(|name| Arc::new(Hashed::new(name, 16)) as Arc<dyn Embedder>);
    let first = Recall::open(dir, Some(Arc::clone(&old))).await.unwrap();
    for owner in 0..USERS.len() {
        first.upsert((0..4).map(|n| written(owner, n, 0, usize::from(n), 2)).collect()).await.unwrap();
    }
    drop(first);
    let recall =
        Recall::open_at(Place::Folder(dir.to_owned()), Embedders::new(Some(new)).or(old)).await.unwrap();
    recall.labelled_by(Labeller::new(Understander::new(None).unwrap()))
}

async fn asked(recall: &Recall, owner: usize, question: &str, as_of: DateTime<Utc>, kinds: bool) -> Vec<Hit> {
    let kinds = if kinds { vec![SourceKind::Note] } else { Vec::new() };
    let options = SearchOptions { kinds, ..SearchOptions::new(as_of) };
    recall.search(&user(USERS[owner]), question, &options).await.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn an_answer_from_the_cache_is_the_answer_without_it(ops in ops()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let recall = between_models(dir.path()).await;
            let plain = recall.clone().without_cache();
            for op in ops {
                match op {
                    Op::Write { user, source, revision, word, days } => {
                        recall.upsert(vec![written(user, source, revision, word, days)]).await.unwrap();
                    }
                    Op::Delete { user: owner, source } => {
                        let source = format!("s{source}");
                        let owner = user(USERS[owner]);
                        recall.delete_source(&owner, SourceKind::Note, &source, Some(1)).await.unwrap();
                    }
                    Op::Erase(owner) => recall.erase_user(&user(USERS[owner])).await.unwrap(),
                    Op::Retire => while recall.retire(now()).await.unwrap() > 0 {},
                    Op::EmbedSome => {
                        recall.embed_missing(3).await.unwrap();
                    }
                    Op::Search { user, question, days, kinds } => {
                        // Once to fill the cache, and then a little later.
                        let as_of = now() + Duration::days(days);
                        for as_of in [as_of, as_of + Duration::minutes(7), as_of + Duration::days(1), as_of] {
                            let one = asked(&recall, user, QUESTIONS[question], as_of, kinds).await;
                            let other = asked(&plain, user, QUESTIONS[question], as_of, kinds).await;
                            prop_assert_eq!(one, other, "{} {}", QUESTIONS[question], as_of);
                        }
                    }
                }
            }
            for owner in USERS {
                recall.erase_user(&user(owner)).await.unwrap();
            }
            let left = recall.status().await.unwrap().caches;
            prop_assert_eq!((left.questions.entries, left.candidates.entries), (0, 0), "{:?}", left);
            prop_assert_eq!((left.questions.bytes, left.candidates.bytes), (0, 0), "{:?}", left);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn the_same_question_is_asked_of_the_store_once_until_its_person_writes() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    recall.upsert(vec![note("ada", "e1", "nougat"), note("bob", "e1", "nougat")]).await.unwrap();
    let used = async || {
        let used = recall.status().await.unwrap().caches.candidates;
        (used.hits, used.misses)
    };
    let at = async |minutes: i64| {
        let options = SearchOptions::new(now() + Duration::minutes(minutes));
        recall.search(&user("ada"), "nougat", &options).await.unwrap()
    };
    let (first, later) = (at(0).await, at(60).await);
    assert_eq!(used().await, (1, 1));
    assert!(first[0].parts.age_days < later[0].parts.age_days, "ages are those of each now");
    recall.upsert(vec![note("bob", "e2", "more nougat")]).await.unwrap();
    at(61).await;
    assert_eq!(used().await, (2, 1), "by another's write nothing changes");
    recall.upsert(vec![note("ada", "e2", "more nougat")]).await.unwrap();
    assert_eq!(at(62).await.len(), 2);
    assert_eq!(used().await, (2, 2));
    // What has not happened yet comes in when it has: nothing is kept beyond it.
    let ahead = Memory { event_time: now() + Duration::minutes(100), ..note("ada", "e3", "nougat ahead") };
    recall.upsert(vec![ahead]).await.unwrap();
    assert_eq!((at(63).await.len(), at(63).await.len(), at(101).await.len()), (2, 2, 3));
    assert_eq!(used().await, (3, 4));
    let status = recall.status().await.unwrap().to_string();
    assert!(status.contains("3 of 7 searches from the cache"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_found_by_the_next_search_however_many_ask() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let askers: Vec<_> = (0..3)
        .map(|_| {
            let (recall, done) = (recall.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                while !done.load(Ordering::SeqCst) {
                    find(&recall, "ada", "sorbet").await;
                }
            })
        })
        .collect();
    let options = SearchOptions { k: 100, ..SearchOptions::new(now()) };
    for n in 0..30_usize {
        recall.upsert(vec![note("ada", &format!("e{n}"), &format!("sorbet {n}"))]).await.unwrap();
        assert_eq!(recall.search(&user("ada"), "sorbet", &options).await.unwrap().len(), n + 1);
        assert!(found(&recall, "ada", &format!("sorbet {n}")).await.contains(&format!("e{n}")));
    }
    for n in 0..30 {
        recall.delete_source(&user("ada"), SourceKind::Note, &format!("e{n}"), None).await.unwrap();
        assert_eq!(recall.search(&user("ada"), "sorbet", &options).await.unwrap().len(), 29 - n);
    }
    done.store(true, Ordering::SeqCst);
    for asker in askers {
        asker.await.unwrap();
    }
}

/// A question's mood and vector come of one pass, and so do a note's labels and vector.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_labeller_reads_is_not_embedded_again_and_comes_out_the_same() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let minilm = model().await;
    let embedder: Arc<dyn Embedder> = Arc::new(minilm.clone());
    let plain = Recall::open(other.path(), Some(Arc::clone(&embedder))).await.unwrap();
    let labelled = Recall::open(dir.path(), Some(embedder)).await.unwrap();
    let labelled = labelled.labelled_by(Labeller::new(Understander::new(Some(minilm)).unwrap()));
    let notes = [
        note("ada", "one", "Row with my manager today, then a whole bar of Lindt on the way home."),
        note("ada", "two", "Two  spaces,\nand a line: marzipan with Nora."),
        note("ada", "long", &"I walked to the sea and back, and ate nothing sweet at all. ".repeat(20)),
    ];
    for recall in [&plain, &labelled] {
        recall.upsert(notes.to_vec()).await.unwrap();
    }
    for question in ["an argument at work made me eat chocolate", "marzipan", "the sea"] {
        let cosines = async |recall: &Recall| {
            let mut hits = find(recall, "ada", question).await;
            hits.sort_by(|a, b| a.memory.source_id.cmp(&b.memory.source_id));
            hits.into_iter().map(|hit| (hit.memory.source_id, hit.parts.dense.unwrap())).collect::<Vec<_>>()
        };
        let (one, two) = (cosines(&labelled).await, cosines(&plain).await);
        assert!(!one.is_empty() && one.len() == two.len(), "{question}");
        for ((id, one), (_, two)) in one.iter().zip(&two) {
            assert!((one - two).abs() < 1e-3, "{question}: {id}: {one} {two}");
        }
    }
    // One look for the mood, which brings the vector along; without a labeller one for the vector.
    for recall in [&plain, &labelled] {
        assert_eq!(recall.status().await.unwrap().caches.questions.misses, 3);
    }
}

#[tokio::test]
async fn a_word_that_nobody_used_hides_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    recall.upsert(vec![note("ada", "e1", "My sister Nora brought marzipan on Sunday")]).await.unwrap();
    let coverage =
        async |question: &str| find(&recall, "ada", question).await.first().map(|hit| hit.parts.coverage);
    for (question, enough) in [
        ("who brought the marzipan?", true),
        ("marzipan or nougat?", true),
        ("marzipan, nougat, fudge?", true),
        // One word in common does not make it the topic.
        ("does a locksmith in Lisbon repair bicycles and umbrellas on Sunday?", false),
    ] {
        let coverage = coverage(question).await.unwrap();
        assert_eq!(coverage >= 0.4, enough, "{question}: {coverage}");
    }
    assert_eq!(coverage("what is the capital of France?").await, None);
}
