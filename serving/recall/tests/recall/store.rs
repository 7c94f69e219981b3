//! The store without a model: durability, tenants, deletion, erasure.

use crate::support::{files_with, find, found, note, now, snapshot, user};
use chrono::Duration;
use crave_recall::{Error, LIMITS, Memory, Mode, Recall, SearchOptions, SourceKind};

const CANARY: &str = "zanzibarkaramell";

#[tokio::test]
async fn words_find_notes_and_the_status_says_that_only_words_do() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    let notes = vec![
        note("u1", "e1", "Chocolate again after the meeting with my boss"),
        note("u1", "e2", "Long walk by the sea, felt calm"),
        note("u1", "e3", "the and of"),
    ];
    recall.upsert(notes).await.unwrap();
    assert_eq!(found(&recall, "u1", "meetings and chocolate").await, ["e1"]);
    assert_eq!(found(&recall, "u1", "the").await, Vec::<String>::new());
    let hit = find(&recall, "u1", "calm walks").await.remove(0);
    assert_eq!(
        (hit.memory.source_id.as_str(), hit.parts.dense, hit.parts.lexical_rank),
        ("e2", None, Some(1))
    );
    assert!(hit.parts.lexical > 0.0 && (hit.score - 1.0).abs() < 1e-9, "{hit:?}");

    let status = recall.status().await.unwrap();
    assert_eq!((status.mode.clone(), status.memories, status.awaiting_embedding), (Mode::LexicalOnly, 3, 3));
    assert!(status.to_string().contains("crave models pull"), "{status}");
}

#[tokio::test]
async fn a_replay_changes_nothing_and_an_older_revision_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    let old = note("u1", "e1", "pretzels at noon");
    let new = Memory { revision: 1, text: "liquorice at noon".to_owned(), ..old.clone() };
    for batch in
        [vec![old.clone()], vec![old.clone(), new.clone()], vec![old.clone()], vec![new.clone(), old]]
    {
        recall.upsert(batch).await.unwrap();
    }
    assert_eq!(recall.count(&user("u1")).await.unwrap(), 1);
    assert_eq!(recall.get(&user("u1"), vec![new.id()]).await.unwrap(), [new]);
    assert!(found(&recall, "u1", "pretzels").await.is_empty());
    assert_eq!(found(&recall, "u1", "liquorice").await, ["e1"]);
}

#[tokio::test]
async fn filters_narrow_by_time_and_kind() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    let at = |id: &str, days: i64, kind| Memory {
        source_kind: kind,
        event_time: now() - Duration::days(days),
        ..note("u1", id, "salty crisps")
    };
    let all = vec![
        at("d3", 3, SourceKind::Note),
        at("d10", 10, SourceKind::Trend),
        at("d100", 100, SourceKind::Note),
        at("ahead", -2, SourceKind::Note),
    ];
    recall.upsert(all).await.unwrap();
    let base = SearchOptions::new(now());
    let table = [
        (base.clone(), vec!["d3", "d10", "d100"]),
        (SearchOptions { kinds: vec![SourceKind::Trend], ..base.clone() }, vec!["d10"]),
        (
            SearchOptions { kinds: vec![SourceKind::Trend, SourceKind::Note], k: 2, ..base.clone() },
            vec!["d3", "d10"],
        ),
        (SearchOptions { kinds: vec![SourceKind::Chat], ..base.clone() }, vec![]),
        (SearchOptions { from: Some(now() - Duration::days(10)), ..base.clone() }, vec!["d3", "d10"]),
        (SearchOptions { until: Some(now() - Duration::days(10)), ..base.clone() }, vec!["d100"]),
        (SearchOptions { as_of: now() - Duration::days(5), ..base.clone() }, vec!["d10", "d100"]),
        (SearchOptions { as_of: now() + Duration::days(5), ..base }, vec!["ahead", "d3", "d10", "d100"]),
    ];
    for (options, expected) in table {
        let hits = recall.search(&user("u1"), "crisps", &options).await.unwrap();
        let ids: Vec<String> = hits.into_iter().map(|hit| hit.memory.source_id).collect();
        assert_eq!(ids, expected, "{options:?}");
    }
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_by_name_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    let field = |error: Error| match error {
        Error::Invalid { field, .. } => field,
        _ => "another error",
    };
    let mixed = vec![note("u1", "e1", "good"), note("u1", "e2", " ")];
    assert_eq!(field(recall.upsert(mixed).await.unwrap_err()), "text");
    assert_eq!(recall.count(&user("u1")).await.unwrap(), 0);
    let many = vec![note("u1", "e1", "x"); LIMITS.upsert_memories_max + 1];
    assert_eq!(field(recall.upsert(many).await.unwrap_err()), "memories");
    let options = SearchOptions::new(now());
    let long = "x".repeat(LIMITS.query_bytes_max + 1);
    for query in ["", "  ", &long] {
        assert_eq!(field(recall.search(&user("u1"), query, &options).await.unwrap_err()), "query");
    }
    for k in [0, LIMITS.hits_max + 1] {
        let options = SearchOptions { k, ..options.clone() };
        assert_eq!(field(recall.search(&user("u1"), "x", &options).await.unwrap_err()), "k");
    }
    let ids = vec![note("u1", "e1", "x").id(); LIMITS.page_memories_max + 1];
    assert_eq!(field(recall.get(&user("u1"), ids).await.unwrap_err()), "ids");
    let deleted = recall.delete_source(&user("u1"), SourceKind::Note, "", None).await;
    assert_eq!(field(deleted.unwrap_err()), "source_id");
}

/// RC-2.
#[tokio::test]
async fn nobody_sees_another_person() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    let mine: Vec<Memory> =
        (0..5).map(|n| note("me", &format!("e{n}"), &format!("cake number {n}"))).collect();
    recall.upsert(mine.clone()).await.unwrap();
    let before = find(&recall, "me", "cake number 3").await;
    // The other has the same source ids and the same words, many times.
    let theirs: Vec<Memory> =
        (0..300).map(|n| note("them", &format!("e{n}"), &format!("cake {n} {CANARY}"))).collect();
    recall.upsert(theirs.clone()).await.unwrap();

    assert_eq!(
        find(&recall, "me", "cake number 3").await,
        before,
        "foreign memories changed my order or scores"
    );
    assert!(found(&recall, "me", CANARY).await.is_empty());
    assert_eq!(recall.count(&user("me")).await.unwrap(), 5);
    assert!(recall.get(&user("me"), theirs.iter().map(Memory::id).collect()).await.unwrap().is_empty());
    let (listed, next) = recall.list(&user("me"), None, 100).await.unwrap();
    assert!(listed.len() == 5 && next.is_none() && listed.iter().all(|memory| memory.user_id == user("me")));
    recall.delete_source(&user("me"), SourceKind::Note, "e1", None).await.unwrap();
    recall.erase_user(&user("me")).await.unwrap();
    assert_eq!(recall.count(&user("them")).await.unwrap(), 300);
    assert_eq!(recall.count(&user("me")).await.unwrap(), 0);
    let hits = find(&recall, "them", CANARY).await;
    assert!(hits.len() == 10 && hits.iter().all(|hit| hit.memory.user_id == user("them")));
}

#[tokio::test]
async fn a_list_pages_through_everything_once() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    let all: Vec<Memory> = (0..25).map(|n| note("u1", &format!("e{n}"), "x")).collect();
    recall.upsert(all.clone()).await.unwrap();
    let (mut listed, mut from) = (Vec::new(), None);
    loop {
        let (page, next) = recall.list(&user("u1"), from, 10).await.unwrap();
        listed.extend(page.iter().map(Memory::id));
        if next.is_none() {
            break;
        }
        from = next;
    }
    let mut expected: Vec<_> = all.iter().map(Memory::id).collect();
    expected.sort();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let recall = Recall::open(dir.path(), None).await.unwrap();
    recall.upsert((0..40).map(|n| note("u1", &format!("e{n}"), "nougat")).collect()).await.unwrap();
    recall.delete_source(&user("u1"), SourceKind::Note, "e7", None).await.unwrap();
    snapshot(dir.path(), copy.path());

    let reopened = Recall::open(copy.path(), None).await.unwrap();
    assert_eq!(reopened.count(&user("u1")).await.unwrap(), 39);
    // The deletion is remembered too: the replay that follows a kill does not bring it back.
    reopened.upsert((0..41).map(|n| note("u1", &format!("e{n}"), "nougat")).collect()).await.unwrap();
    assert_eq!(reopened.count(&user("u1")).await.unwrap(), 40);
    assert!(reopened.get(&user("u1"), vec![note("u1", "e7", "").id()]).await.unwrap().is_empty());
}

#[tokio::test]
async fn one_process_at_a_time_and_again_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    recall.upsert(vec![note("u1", "e1", "fudge")]).await.unwrap();
    assert!(matches!(Recall::open(dir.path(), None).await.unwrap_err(), Error::InUse { .. }));
    drop(recall);
    let recall = Recall::open(dir.path(), None).await.unwrap();
    assert_eq!(found(&recall, "u1", "fudge").await, ["e1"]);
}

#[tokio::test]
async fn a_deleted_source_stays_away_until_a_newer_revision() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    let chunk =
        |n: u32, revision: u32| Memory { chunk: n, revision, ..note("u1", "j1", "toffee on the train") };
    recall.upsert((0..3).map(|n| chunk(n, 0)).collect()).await.unwrap();
    recall.delete_source(&user("u1"), SourceKind::Note, "j1", Some(0)).await.unwrap();
    assert_eq!(recall.count(&user("u1")).await.unwrap(), 0);
    recall.upsert(vec![chunk(0, 0), chunk(0, 1), chunk(1, 0)]).await.unwrap();
    let (left, _) = recall.list(&user("u1"), None, 10).await.unwrap();
    assert_eq!(left, [chunk(0, 1)]);
    recall.delete_source(&user("u1"), SourceKind::Note, "j1", None).await.unwrap();
    // A later, lower deletion does not weaken the first.
    recall.delete_source(&user("u1"), SourceKind::Note, "j1", Some(3)).await.unwrap();
    recall.upsert(vec![chunk(0, 9)]).await.unwrap();
    assert_eq!(recall.count(&user("u1")).await.unwrap(), 0);
}

/// PR-1.
#[tokio::test]
async fn erasing_leaves_no_byte_and_scrubbing_none_of_what_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    let doomed: Vec<Memory> =
        (0..30).map(|n| note("doomedperson", &format!("src-doomed-{n}"), CANARY)).collect();
    recall.upsert(doomed).await.unwrap();
    recall.delete_source(&user("doomedperson"), SourceKind::Note, "src-doomed-1", None).await.unwrap();
    recall
        .upsert(vec![note("other", "e1", "marzipan"), note("other", "e2", "secretword pudding")])
        .await
        .unwrap();
    recall.delete_source(&user("other"), SourceKind::Note, "e2", None).await.unwrap();
    let traces = [CANARY, "doomedperson", "src-doomed"];
    assert!(!files_with(dir.path(), &traces).is_empty(), "the search for traces finds none even before");
    let before = recall.status().await.unwrap();
    assert!(before.scrub_due);

    recall.erase_user(&user("doomedperson")).await.unwrap();
    assert_eq!(files_with(dir.path(), &traces), Vec::<std::path::PathBuf>::new());
    assert_eq!(files_with(dir.path(), &["secretword"]), Vec::<std::path::PathBuf>::new());
    let after = recall.status().await.unwrap();
    assert!(after.generation > before.generation && !after.scrub_due && after.memories == 1);
    assert_eq!(found(&recall, "other", "marzipan").await, ["e1"]);

    // The other's tombstone outlives the rebuild, and writing goes on.
    recall
        .upsert(vec![note("other", "e2", "secretword pudding"), note("other", "e3", "caramel")])
        .await
        .unwrap();
    assert_eq!(recall.count(&user("other")).await.unwrap(), 2);
    recall.delete_source(&user("other"), SourceKind::Note, "e3", None).await.unwrap();
    recall.scrub().await.unwrap();
    assert_eq!(files_with(dir.path(), &["secretword", "caramel"]), Vec::<std::path::PathBuf>::new());
    drop(recall);
    let recall = Recall::open(dir.path(), None).await.unwrap();
    assert_eq!(recall.count(&user("other")).await.unwrap(), 1);
    assert_eq!(files_with(dir.path(), &traces), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn an_unfinished_rebuild_is_cleared_at_the_next_opening() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    recall.upsert(vec![note("u1", "e1", "wafers")]).await.unwrap();
    drop(recall);
    std::fs::create_dir(dir.path().join("gen-00000002")).unwrap();
    std::fs::write(dir.path().join("gen-00000002/half"), CANARY).unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    assert!(files_with(dir.path(), &[CANARY]).is_empty());
    recall.scrub().await.unwrap();
    assert_eq!(found(&recall, "u1", "wafers").await, ["e1"]);
}

#[tokio::test]
async fn a_broken_index_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["nonsense", "gen-00000042"] {
        std::fs::write(dir.path().join("CURRENT"), name).unwrap();
        let error = Recall::open(dir.path(), None).await.unwrap_err();
        assert!(matches!(error, Error::IndexBroken { .. }), "{error}");
        assert!(error.to_string().contains("replay the memory log"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_readers_and_an_erasure_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let recall = Recall::open(dir.path(), None).await.unwrap();
    recall.upsert((0..50).map(|n| note("gone", &format!("g{n}"), CANARY)).collect()).await.unwrap();
    let writers: Vec<_> = (0..4)
        .map(|w| {
            let recall = recall.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    recall.upsert(vec![note("u1", &format!("w{w}-{n}"), "sorbet")]).await.unwrap();
                    assert!(!found(&recall, "u1", "sorbet").await.is_empty());
                }
            })
        })
        .collect();
    recall.erase_user(&user("gone")).await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(recall.count(&user("u1")).await.unwrap(), 40);
    assert_eq!(recall.count(&user("gone")).await.unwrap(), 0);
    assert!(files_with(dir.path(), &[CANARY]).is_empty());
}
