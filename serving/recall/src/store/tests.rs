//! What cannot be seen through the door: the log's bound, and a failing engine.

use chrono::DateTime;
use tokio::sync::oneshot;

use super::*;
use crate::{Memory, SourceKind};

fn user() -> UserId {
    UserId::new("u1").unwrap()
}

async fn upsert(store: &Store, from: u32, count: u32) -> Result<()> {
    let words = "word ".repeat(2000);
    let prepare = |n: u32| {
        let memory =
            Memory::new(user(), SourceKind::Note, format!("e{n}"), DateTime::UNIX_EPOCH, words.clone());
        Prepared { memory, dense: None, sparse: None, model: None }
    };
    let (reply, answer) = oneshot::channel();
    let memories = (from..from + count).map(prepare).collect();
    store.commands()?.send(Command::Upsert { memories, only_existing: false, reply }).await.unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn the_log_is_bounded_and_trimming_it_loses_nothing() {
    const MIB: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_with(dir.path(), 10 * MIB).unwrap();
    let mut most = 0;
    // 3,000 × 10 kB: three times the bound.
    for batch in 0..30 {
        upsert(&store, batch * 100, 100).await.unwrap();
        most = most.max(store.shared.disk().1);
    }
    assert!(most > 8 * MIB && most < 20 * MIB, "{most}");
    assert_eq!(store.shared.count(&user()).unwrap(), 3000);
    // The operation numbers go on where they were: an update after the trimming is not taken for an old one.
    let one = Memory::new(user(), SourceKind::Note, "e5", DateTime::UNIX_EPOCH, "changed");
    let id = one.id();
    let memories = vec![Prepared { memory: one.clone(), dense: None, sparse: None, model: None }];
    let (reply, answer) = oneshot::channel();
    store.commands().unwrap().send(Command::Upsert { memories, only_existing: true, reply }).await.unwrap();
    answer.await.unwrap().unwrap();
    assert_eq!(store.shared.get(&user(), &[id]).unwrap(), [one]);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.shared.get(&user(), &[id]).unwrap()[0].text, "changed");
    assert_eq!(store.shared.count(&user()).unwrap(), 3000);
}

#[tokio::test]
async fn when_the_engine_panics_writing_stops_with_the_reason_and_reading_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    upsert(&store, 0, 3).await.unwrap();
    let failed = writer::guarded(&store.shared, || unreachable!("disk full"));
    assert!(failed.unwrap_err().to_string().contains("disk full"));
    let refused = upsert(&store, 3, 1).await.unwrap_err();
    assert!(
        refused.to_string().contains("disk full") && refused.to_string().contains("restart"),
        "{refused}"
    );
    assert_eq!(store.shared.count(&user()).unwrap(), 3);
    assert!(store.shared.failure().unwrap().contains("disk full"));
}

#[tokio::test]
async fn embedding_what_is_gone_by_now_does_not_bring_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    upsert(&store, 0, 2).await.unwrap();
    let late: Vec<Prepared> = store
        .shared
        .without_meaning(10)
        .unwrap()
        .into_iter()
        .map(|memory| Prepared { memory, dense: Some(vec![0.5; 384]), sparse: None, model: Some("m") })
        .collect();
    assert_eq!(late.len(), 2);
    let (reply, answer) = oneshot::channel();
    store.commands().unwrap().send(Command::EraseUser { user: user(), reply }).await.unwrap();
    answer.await.unwrap().unwrap();
    let (reply, answer) = oneshot::channel();
    store
        .commands()
        .unwrap()
        .send(Command::Upsert { memories: late, only_existing: true, reply })
        .await
        .unwrap();
    answer.await.unwrap().unwrap();
    assert_eq!(store.shared.count(&user()).unwrap(), 0);
}

#[tokio::test]
async fn optimising_rewrites_segments_and_changes_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    upsert(&store, 0, 50).await.unwrap();
    let prepare = |chunk: u32| {
        let memory = Memory {
            chunk,
            ..Memory::new(user(), SourceKind::Journal, "bulk", DateTime::UNIX_EPOCH, "crumbs")
        };
        Prepared { memory, dense: Some(vec![0.1; 384]), sparse: None, model: None }
    };
    let (reply, answer) = oneshot::channel();
    let memories = (0..2000).map(prepare).collect();
    store.commands().unwrap().send(Command::Upsert { memories, only_existing: false, reply }).await.unwrap();
    answer.await.unwrap().unwrap();
    let (reply, answer) = oneshot::channel();
    let (kind, source_id) = (SourceKind::Journal, "bulk".to_owned());
    let command = Command::DeleteSource { user: user(), kind, source_id, through: u32::MAX, reply };
    store.commands().unwrap().send(command).await.unwrap();
    answer.await.unwrap().unwrap();
    let segments = || -> Vec<_> {
        let folder = store.shared.live().path.join("segments");
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = segments();
    let (reply, answer) = oneshot::channel();
    store.commands().unwrap().send(Command::Optimise { reply }).await.unwrap();
    answer.await.unwrap().unwrap();
    assert!(segments().iter().any(|segment| !before.contains(segment)), "nothing was optimised");
    assert_eq!(store.shared.count(&user()).unwrap(), 50);
    upsert(&store, 0, 60).await.unwrap();
    assert_eq!(store.shared.count(&user()).unwrap(), 60);
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.shared.count(&user()).unwrap(), 60);
    assert_eq!(store.shared.totals().unwrap(), (60, 60));
}
