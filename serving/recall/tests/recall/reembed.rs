//! Another embedding model takes over: in the background, at once, and never mixed with the old one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crave_recall::{Embedder, Embedders, Memory, Mode, Place, Recall, SourceKind};
use futures::future::BoxFuture;

use crate::support::openai::Service;
use crate::support::{find, found, model, note, snapshot, user};

async fn open(dir: &Path, chosen: Arc<dyn Embedder>, other: Option<Arc<dyn Embedder>>) -> Recall {
    let everybody = Arc::new(|_: crave_schemas::UserId| Box::pin(async { true }) as BoxFuture<'static, bool>);
    let mut embedders = Embedders::new(Some(chosen)).consent(everybody);
    if let Some(other) = other {
        embedders = embedders.or(other);
    }
    Recall::open_at(Place::Folder(dir.to_owned()), embedders).await.unwrap()
}

async fn finish(recall: &Recall) {
    while recall.embed_missing(16).await.unwrap() > 0 {}
}

async fn ids(recall: &Recall, owner: &str) -> BTreeSet<String> {
    let (memories, _) = recall.list(&user(owner), None, 1000).await.unwrap();
    memories.into_iter().map(|memory| memory.source_id).collect()
}

fn hybrid(model: &str) -> Mode {
    Mode::Hybrid { model: model.to_owned() }
}

/// From MiniLM's 384 numbers to 16 over the wire and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_go_on_in_the_old_collection_and_nothing_that_comes_meanwhile_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let minilm: Arc<dyn Embedder> = Arc::new(model().await);
    let first = open(dir.path(), Arc::clone(&minilm), None).await;
    let mut notes: Vec<Memory> =
        (0..40).map(|n| note("u1", &format!("e{n}"), &format!("biscuit number {n}"))).collect();
    notes.push(note("u1", "row", "Row with my manager today, then a whole bar of Lindt on the way home"));
    notes.extend([note("u1", "doomed", "liquorice"), note("gone", "g1", "their secret")]);
    first.upsert(notes).await.unwrap();
    let question = "an argument at work made me eat chocolate";
    let old = find(&first, "u1", question).await;
    assert_eq!(old[0].memory.source_id, "row");
    drop(first);

    let service = Service::start("words-16", false).await;
    let recall = open(dir.path(), service.embedder(), Some(Arc::clone(&minilm))).await;
    let generation = recall.status().await.unwrap().generation;
    let background = tokio::spawn({
        let recall = recall.clone();
        async move { finish(&recall).await }
    });
    while recall.status().await.unwrap().reembedding.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The new model is slow: three of its requests are answered, one waits.
    service.gate.add_permits(3);
    while service.texts().len() < 25 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = recall.status().await.unwrap();
    assert_eq!((status.mode.clone(), status.generation), (hybrid("all-MiniLM-L6-v2"), generation));
    let progress = status.reembedding.clone().unwrap();
    assert_eq!((progress.model.as_str(), progress.memories), ("words-16", 43));
    assert!(progress.awaiting_embedding < 43 && progress.awaiting_embedding > 0, "{progress:?}");
    assert!(status.to_string().contains("words-16"), "{status}");
    let scores = |hits: &[crave_recall::Hit]| hits.iter().map(|hit| (hit.id, hit.score)).collect::<Vec<_>>();
    assert_eq!(scores(&find(&recall, "u1", question).await), scores(&old), "by the old model, unchanged");
    // What comes meanwhile: a new memory, a changed one, a deletion, an erasure.
    recall.upsert(vec![note("u1", "late", "pretzels")]).await.unwrap();
    recall.upsert(vec![Memory { revision: 1, ..note("u1", "e7", "nougat now") }]).await.unwrap();
    recall.delete_source(&user("u1"), SourceKind::Note, "doomed", None).await.unwrap();
    assert_eq!(found(&recall, "u1", "pretzels").await[0], "late");
    recall.erase_user(&user("gone")).await.unwrap();
    let before = ids(&recall, "u1").await;

    service.gate.add_permits(1000);
    background.await.unwrap();
    let status = recall.status().await.unwrap();
    assert_eq!((status.mode.clone(), status.reembedding.clone()), (hybrid("words-16"), None));
    assert_eq!((status.memories, status.awaiting_embedding), (42, 0));
    assert!(status.generation > generation);
    assert_eq!(ids(&recall, "u1").await, before);
    assert!(before.contains("late") && !before.contains("doomed"));
    assert_eq!(recall.count(&user("gone")).await.unwrap(), 0);
    let nougat = find(&recall, "u1", "nougat now").await.remove(0);
    assert_eq!((nougat.memory.source_id.as_str(), nougat.memory.revision), ("e7", 1));
    assert!(nougat.parts.dense.unwrap() > 0.999, "by the new model's vectors: {:?}", nougat.parts);
    // What was deleted stays so when all is sent again.
    recall.upsert(vec![note("u1", "doomed", "liquorice")]).await.unwrap();
    assert_eq!(ids(&recall, "u1").await, before);
    let folders = std::fs::read_dir(dir.path()).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.starts_with("gen-").then_some(name)
    });
    assert_eq!(folders.count(), 1, "the old collection is gone");
    drop(recall);

    let back = open(dir.path(), minilm, Some(service.embedder())).await;
    finish(&back).await;
    assert_eq!(back.mode().await, hybrid("all-MiniLM-L6-v2"));
    assert_eq!(found(&back, "u1", question).await[0], "row");
    assert_eq!(ids(&back, "u1").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_in_between_goes_on_where_it_was() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = Service::start("old-16", true).await;
    let first = open(dir.path(), old.embedder(), None).await;
    first.upsert((0..40).map(|n| note("u1", &format!("e{n}"), "caramel")).collect()).await.unwrap();
    drop(first);

    let service = Service::start("new-16", true).await;
    let recall = open(dir.path(), service.embedder(), Some(old.embedder())).await;
    assert_eq!(recall.embed_missing(16).await.unwrap(), 16);
    recall.upsert(vec![note("u1", "late", "toffee")]).await.unwrap();
    recall.delete_source(&user("u1"), SourceKind::Note, "e3", None).await.unwrap();
    // What a kill at this moment leaves.
    snapshot(dir.path(), copy.path());
    drop(recall);
    let sent = service.texts().len();

    let recall = open(copy.path(), service.embedder(), Some(old.embedder())).await;
    let status = recall.status().await.unwrap();
    assert_eq!(status.mode, hybrid("old-16"));
    assert!(status.reembedding.unwrap().awaiting_embedding < 40, "it does not begin again");
    assert_eq!(found(&recall, "u1", "toffee").await[0], "late");
    finish(&recall).await;
    assert_eq!(recall.mode().await, hybrid("new-16"));
    assert!(service.texts().len() - sent < 30, "what was embedded is not embedded again");
    let stored = ids(&recall, "u1").await;
    assert!(stored.len() == 40 && stored.contains("late") && !stored.contains("e3"), "{stored:?}");
    assert_eq!(recall.status().await.unwrap().awaiting_embedding, 0);
    drop(recall);

    // Another wish in the middle of the change: it is given up, or goes to yet another model.
    let recall = open(dir.path(), old.embedder(), Some(service.embedder())).await;
    finish(&recall).await;
    let status = recall.status().await.unwrap();
    assert_eq!((status.mode, status.reembedding, status.memories), (hybrid("old-16"), None, 40));
    drop(recall);
    let third = Service::start("third-16", true).await;
    let recall = open(dir.path(), third.embedder(), None).await;
    // The old model is no longer there: until the change is done, words alone find something.
    assert_eq!(recall.mode().await, Mode::LexicalOnly);
    assert_eq!(found(&recall, "u1", "toffee").await, ["late"]);
    finish(&recall).await;
    assert_eq!(recall.mode().await, hybrid("third-16"));
    assert_eq!(ids(&recall, "u1").await, stored);
}
