//! What cannot be seen through the door: the log's bound, and a failing engine.

use chrono::DateTime;

use super::*;
use crate::Memory;

fn user() -> UserId {
    UserId::new("u1").unwrap()
}

/// A collection in a folder, new or as it was left.
fn open(dir: &std::path::Path, wal_bytes_max: u64) -> Edge {
    let (path, lock) = (dir.join("gen-00000001"), Arc::new(File::create(dir.join("lock")).unwrap()));
    let model = Model::minilm();
    let shard = match path.exists() {
        true => generation::load(&path, &model).unwrap(),
        false => generation::create(&path, &model).unwrap(),
    };
    Edge::start(path, model, shard, lock, wal_bytes_max).unwrap()
}

async fn upsert(edge: &Edge, from: u32, count: u32) -> Result<()> {
    let words = "word ".repeat(2000);
    let prepare = |n: u32| {
        let memory =
            Memory::new(user(), SourceKind::Note, format!("e{n}"), DateTime::UNIX_EPOCH, words.clone());
        Prepared { memory, dense: None, sparse: None }
    };
    edge.upsert((from..from + count).map(prepare).collect()).await
}

#[tokio::test]
async fn the_log_is_bounded_and_trimming_it_loses_nothing() {
    const MIB: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let edge = open(dir.path(), 10 * MIB);
    let mut most = 0;
    // 3,000 × 10 kB: three times the bound.
    for batch in 0..30 {
        upsert(&edge, batch * 100, 100).await.unwrap();
        most = most.max(edge.log_bytes());
    }
    assert!(most > 8 * MIB && most < 20 * MIB, "{most}");
    assert_eq!(edge.count(&user()).await.unwrap(), 3000);
    // The operation numbers go on where they were: an update after the trimming is not taken for an old one.
    let one = Memory::new(user(), SourceKind::Note, "e5", DateTime::UNIX_EPOCH, "changed");
    let id = [one.id().0];
    edge.upsert(vec![Prepared { memory: one.clone(), dense: None, sparse: None }]).await.unwrap();
    let read = edge.get(&user(), &id, Parts::Payload).await.unwrap();
    assert_eq!(read[0].memory().unwrap(), one);
    drop(edge);
    let edge = open(dir.path(), WAL_BYTES_MAX);
    assert_eq!(edge.get(&user(), &id, Parts::Payload).await.unwrap()[0].memory().unwrap().text, "changed");
    assert_eq!(edge.count(&user()).await.unwrap(), 3000);
}

#[tokio::test]
async fn when_the_engine_panics_writing_stops_with_the_reason_and_reading_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let edge = open(dir.path(), WAL_BYTES_MAX);
    upsert(&edge, 0, 3).await.unwrap();
    let failed = writer::guarded(&edge.shared, || unreachable!("disk full"));
    assert!(failed.unwrap_err().to_string().contains("disk full"));
    let refused = upsert(&edge, 3, 1).await.unwrap_err();
    assert!(
        refused.to_string().contains("disk full") && refused.to_string().contains("restart"),
        "{refused}"
    );
    assert_eq!(edge.count(&user()).await.unwrap(), 3);
    assert!(edge.failure().unwrap().contains("disk full"));
}

#[tokio::test]
async fn optimising_rewrites_segments_and_changes_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let edge = open(dir.path(), WAL_BYTES_MAX);
    upsert(&edge, 0, 50).await.unwrap();
    let prepare = |chunk: u32| {
        let memory = Memory {
            chunk,
            ..Memory::new(user(), SourceKind::Journal, "bulk", DateTime::UNIX_EPOCH, "crumbs")
        };
        Prepared { memory, dense: Some(vec![0.1; 384]), sparse: None }
    };
    edge.upsert((0..2000).map(prepare).collect()).await.unwrap();
    edge.delete_source(&user(), SourceKind::Journal, "bulk", u32::MAX).await.unwrap();
    let segments = || -> Vec<_> {
        let folder = edge.shared.path.join("segments");
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = segments();
    edge.optimise().await.unwrap();
    assert!(segments().iter().any(|segment| !before.contains(segment)), "nothing was optimised");
    assert_eq!(edge.count(&user()).await.unwrap(), 50);
    upsert(&edge, 0, 60).await.unwrap();
    assert_eq!(edge.count(&user()).await.unwrap(), 60);
    drop(edge);
    let edge = open(dir.path(), WAL_BYTES_MAX);
    assert_eq!(edge.count(&user()).await.unwrap(), 60);
    assert_eq!(edge.totals().await.unwrap(), (60, 60));
}
