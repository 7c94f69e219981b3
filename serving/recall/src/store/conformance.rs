//! What every store must do, run over each: the engine in the process, a Qdrant server where `QDRANT_URL` names one
//! (gRPC, with `QDRANT_API_KEY` where it wants a key), and, so that requests and answers are looked at without a server,
//! a stand-in that speaks its protocol.

mod standin;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::embed::Key;
use crate::{Memory, MemoryId};

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

fn small() -> Model {
    Model::new("small", 4).unwrap()
}

fn other() -> Model {
    Model::new("other", 3).unwrap()
}

fn memory(owner: &str, source: &str, days_ago: i64) -> Memory {
    let time = noon() - TimeDelta::days(days_ago);
    Memory::new(user(owner), SourceKind::Note, source, time, format!("text of {source}"))
}

/// With a vector that leans to the first axis the more the greater `lean` is, and one word of that weight.
fn prepared(memory: Memory, lean: u16) -> Prepared {
    let lean = f32::from(lean);
    let length = (lean * lean + 1.0).sqrt();
    let dense = vec![lean / length, 1.0 / length, 0.0, 0.0];
    let sparse = SparseVector { indices: vec![7, 11], values: vec![lean, 1.0] };
    Prepared { memory, dense: Some(dense), sparse: Some(sparse) }
}

fn sources(points: &[Point]) -> Vec<String> {
    points.iter().map(|point| point.memory().unwrap().source_id).collect()
}

async fn everything(collection: &dyn Collection) -> Vec<Point> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let (points, next) = collection.page(from, 3).await.unwrap();
        all.extend(points);
        match next {
            Some(_) => from = next,
            None => return all,
        }
    }
}

/// Every test in turn, each in a collection of its own.
async fn conforms(catalogue: &dyn Catalogue) {
    let held = catalogue.open(&small()).await.unwrap();
    assert!(held.next.is_none());
    let (first, live) = held.current;
    assert_eq!(live.model(), &small());
    let mut number = first;
    for test in 0..6 {
        number += 1;
        let collection = catalogue.create(number, &small()).await.unwrap();
        let collection = &*collection;
        match test {
            0 => raw_scores_within_a_scope(collection).await,
            1 => tenants_are_apart(collection).await,
            2 => revisions_and_tombstones(collection).await,
            3 => pages_and_copies(collection, &*live).await,
            4 => what_is_kept_elsewhere(collection).await,
            _ => missing_vectors(collection).await,
        }
        collection.close().await.unwrap();
        catalogue.remove(number).await.unwrap();
    }
    drop(live);
    names_move(catalogue, number).await;
}

async fn raw_scores_within_a_scope(collection: &dyn Collection) {
    let all = (0..5_u16).map(|n| prepared(memory("u1", &format!("e{n}"), i64::from(n)), n)).collect();
    collection.upsert(all).await.unwrap();
    let east = || Near::Meaning(Arc::new(vec![1.0, 0.0, 0.0, 0.0]));
    let word = || Near::Words(SparseVector { indices: vec![7], values: vec![1.0] });
    let scope = Scope::default();
    let found = collection.nearest(&user("u1"), east(), &scope, 3).await.unwrap();
    assert_eq!(sources(&found), ["e4", "e3", "e2"]);
    // The vectors come back as they went in, so that both raw scores can be computed.
    let dense = found[0].dense.as_ref().unwrap();
    assert!((dense[0] - 4.0 / 17_f32.sqrt()).abs() < 1e-4, "{dense:?}");
    assert_eq!(found[0].sparse, Some(SparseVector { indices: vec![7, 11], values: vec![4.0, 1.0] }));
    let found = collection.nearest(&user("u1"), word(), &scope, 2).await.unwrap();
    assert_eq!(sources(&found), ["e4", "e3"]);
    let days = |n: i64| noon() - TimeDelta::days(n);
    let table = [
        (Scope { from: Some(days(2)), ..Scope::default() }, vec!["e2", "e1", "e0"]),
        (Scope { until: Some(days(2)), ..Scope::default() }, vec!["e4", "e3"]),
        (Scope { as_of: Some(days(2)), ..Scope::default() }, vec!["e4", "e3", "e2"]),
        (Scope { kinds: vec![SourceKind::Chat, SourceKind::Note], ..Scope::default() }, vec!["e4"; 5]),
        (Scope { kinds: vec![SourceKind::Chat], ..Scope::default() }, vec![]),
    ];
    for (scope, expected) in table {
        let found = collection.nearest(&user("u1"), east(), &scope, 10).await.unwrap();
        assert_eq!(found.len(), expected.len(), "{scope:?}");
        assert!(found.iter().all(|point| scope.holds(&point.memory().unwrap())), "{scope:?}");
        if expected.len() < 5 {
            assert_eq!(sources(&found), expected, "{scope:?}");
        }
    }
}

/// RC-2.
async fn tenants_are_apart(collection: &dyn Collection) {
    let mut all: Vec<Prepared> = (0..3_u16).map(|n| prepared(memory("me", &format!("e{n}"), 1), n)).collect();
    all.extend((0..30_u16).map(|n| prepared(memory("them", &format!("e{n}"), 1), 100 + n)));
    let theirs: Vec<Uuid> =
        all.iter().filter(|one| one.memory.user_id == user("them")).map(Prepared::id).collect();
    collection.upsert(all).await.unwrap();
    let me = user("me");
    let mine = |points: &[Point]| {
        assert!(points.iter().all(|point| point.owner() == Some("me")), "another tenant's");
        points.len()
    };
    for near in [
        Near::Meaning(Arc::new(vec![1.0, 0.0, 0.0, 0.0])),
        Near::Words(SparseVector { indices: vec![7, 11], values: vec![1.0, 1.0] }),
    ] {
        assert_eq!(mine(&collection.nearest(&me, near, &Scope::default(), 200).await.unwrap()), 3);
    }
    for parts in [Parts::Payload, Parts::All] {
        assert!(collection.get(&me, &theirs, parts).await.unwrap().is_empty());
        assert_eq!(mine(&collection.list(&me, None, 100, parts).await.unwrap().0), 3);
    }
    assert_eq!(collection.list(&me, None, 100, Parts::Words).await.unwrap().0.len(), 3);
    assert_eq!(collection.count(&me).await.unwrap(), 3);
    collection.delete_source(&me, SourceKind::Note, "e1", u32::MAX).await.unwrap();
    assert_eq!(
        (collection.count(&me).await.unwrap(), collection.count(&user("them")).await.unwrap()),
        (2, 30)
    );
}

async fn what_is_kept_elsewhere(collection: &dyn Collection) {
    let mut all: Vec<Prepared> =
        (0..4_u16).map(|n| prepared(memory("u1", &format!("e{n}"), i64::from(n)), n)).collect();
    all.push(prepared(memory("u2", "e9", 9), 1));
    all.push(prepared(Memory { source_kind: SourceKind::Trend, ..memory("u1", "t9", 9) }, 1));
    let ids: Vec<Uuid> = all.iter().map(Prepared::id).collect();
    collection.upsert(all).await.unwrap();
    collection.delete_source(&user("u1"), SourceKind::Note, "gone", 1).await.unwrap();
    let old = Scope {
        kinds: vec![SourceKind::Note, SourceKind::Chat],
        until: Some(noon() - TimeDelta::days(1)),
        ..Scope::default()
    };
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let (points, next) = collection.within(None, &old, from, 2).await.unwrap();
        found.extend(sources(&points));
        from = next;
        if from.is_none() {
            break;
        }
    }
    found.sort();
    assert_eq!(found, ["e2", "e3", "e9"]);
    let (hers, _) = collection.within(Some(&user("u2")), &old, None, 10).await.unwrap();
    assert!(sources(&hers) == ["e9"] && hers[0].dense.is_some(), "{hers:?}");
    // RC-2: another tenant's goes only for them.
    collection.forget(&user("u2"), &ids).await.unwrap();
    assert_eq!(
        (collection.count(&user("u1")).await.unwrap(), collection.count(&user("u2")).await.unwrap()),
        (5, 0)
    );
    collection.forget(&user("u1"), &ids[2..4]).await.unwrap();
    assert_eq!(collection.count(&user("u1")).await.unwrap(), 3);
    // No tombstone: the same comes again.
    collection.upsert(vec![prepared(memory("u1", "e2", 2), 2)]).await.unwrap();
    assert_eq!(collection.count(&user("u1")).await.unwrap(), 4);
}

async fn revisions_and_tombstones(collection: &dyn Collection) {
    let me = user("u1");
    let at = |revision: u32, text: &str| {
        prepared(Memory { revision, text: text.to_owned(), ..memory("u1", "e1", 1) }, 1)
    };
    let id = at(0, "x").id();
    let text = || async {
        let found = collection.get(&me, &[id], Parts::Payload).await.unwrap();
        found.first().map(|point| point.memory().unwrap().text)
    };
    collection.upsert(vec![at(1, "one"), at(0, "zero")]).await.unwrap();
    collection.upsert(vec![at(0, "zero")]).await.unwrap();
    assert_eq!(text().await.as_deref(), Some("one"));
    collection.upsert(vec![at(1, "one again")]).await.unwrap();
    assert_eq!(text().await.as_deref(), Some("one again"));
    collection.delete_source(&me, SourceKind::Note, "e1", 0).await.unwrap();
    assert_eq!(text().await.as_deref(), Some("one again"));
    collection.delete_source(&me, SourceKind::Note, "e1", 3).await.unwrap();
    // A later, lower deletion does not weaken the first.
    collection.delete_source(&me, SourceKind::Note, "e1", 1).await.unwrap();
    collection.upsert(vec![at(3, "three")]).await.unwrap();
    assert_eq!((text().await, collection.count(&me).await.unwrap()), (None, 0));
    collection.upsert(vec![at(4, "four")]).await.unwrap();
    assert_eq!(text().await.as_deref(), Some("four"));
    collection.delete_source(&me, SourceKind::Note, "e1", u32::MAX).await.unwrap();
    collection.upsert(vec![at(u32::MAX, "never")]).await.unwrap();
    assert_eq!(text().await, None);
}

async fn pages_and_copies(collection: &dyn Collection, copy: &dyn Collection) {
    let many: Vec<Prepared> =
        (0..300_u16).map(|n| prepared(memory("u1", &format!("e{n}"), 1), n % 9)).collect();
    let expected: BTreeSet<Uuid> = many.iter().map(Prepared::id).collect();
    collection.upsert(many).await.unwrap();
    collection.delete_source(&user("u2"), SourceKind::Note, "gone", 5).await.unwrap();
    let (mut listed, mut from) = (Vec::new(), None);
    loop {
        let (points, next) = collection.list(&user("u1"), from, 70, Parts::Payload).await.unwrap();
        assert!(points.len() <= 70);
        listed.extend(points.iter().map(|point| point.id));
        match next {
            Some(_) => from = next,
            None => break,
        }
    }
    assert_eq!(listed, expected.iter().copied().collect::<Vec<_>>(), "in the order of ids, each once");
    let all = everything(collection).await;
    assert_eq!(all.len(), 301, "the tombstone too");
    copy.put(all.clone()).await.unwrap();
    assert_eq!(copy.count(&user("u1")).await.unwrap(), 300);
    let by_id = |mut points: Vec<Point>| {
        points.sort_by_key(|point| point.id);
        points
    };
    let (copied, all) = (by_id(everything(copy).await), by_id(all));
    assert!(copied.iter().zip(&all).all(|(a, b)| a.payload == b.payload && a.sparse == b.sparse));
    // The tombstone works where it was copied to.
    copy.upsert(vec![prepared(memory("u2", "gone", 1), 1)]).await.unwrap();
    assert_eq!(copy.count(&user("u2")).await.unwrap(), 0);
}

async fn missing_vectors(collection: &dyn Collection) {
    let without = |source: &str| Prepared { dense: None, ..prepared(memory("u1", source, 1), 2) };
    let all = vec![without("a"), without("b"), prepared(memory("u1", "c", 1), 1)];
    collection.upsert(all).await.unwrap();
    collection.delete_source(&user("u1"), SourceKind::Note, "none", 5).await.unwrap();
    assert_eq!(collection.totals().await.unwrap(), (3, 2));
    let (missing, next) = collection.without_meaning(None, 10).await.unwrap();
    assert_eq!(BTreeSet::from_iter(sources(&missing)), BTreeSet::from(["a", "b"].map(String::from)));
    assert_eq!(next, None);
    // "b" changes and "d" was never there while they are embedded.
    let meaning = |source: &str| Meaning {
        id: MemoryId(without(source).id()),
        text: memory("u1", source, 1).text,
        vector: vec![1.0, 0.0, 0.0, 0.0],
    };
    let changed = Memory { text: "another text".to_owned(), ..memory("u1", "b", 1) };
    collection.upsert(vec![Prepared { memory: changed, ..without("b") }]).await.unwrap();
    collection.set_meanings(["a", "b", "d"].map(meaning).to_vec()).await.unwrap();
    assert_eq!(collection.totals().await.unwrap(), (3, 1));
    let (missing, _) = collection.without_meaning(None, 10).await.unwrap();
    assert_eq!(missing[0].memory().unwrap().text, "another text");
    let east = Near::Meaning(Arc::new(vec![1.0, 0.0, 0.0, 0.0]));
    let found = collection.nearest(&user("u1"), east, &Scope::default(), 1).await.unwrap();
    assert_eq!(sources(&found), ["a"]);
    assert!(found[0].sparse.is_some(), "the words are still there");
}

/// What is in use and what is on its way, over reopenings.
async fn names_move(catalogue: &dyn Catalogue, last: u64) {
    let current = last + 1;
    catalogue.create(current, &small()).await.unwrap().close().await.unwrap();
    catalogue.set_current(current).await.unwrap();
    let next = current + 1;
    let new = catalogue.create(next, &other()).await.unwrap();
    new.put(vec![Prepared { dense: None, ..prepared(memory("u1", "e1", 1), 1) }.into_point()]).await.unwrap();
    new.close().await.unwrap();
    catalogue.set_next(Some(next)).await.unwrap();
    let held = catalogue.open(&small()).await.unwrap();
    assert_eq!((held.current.0, held.current.1.model()), (current, &small()));
    let (number, on_its_way) = held.next.unwrap();
    assert_eq!((number, on_its_way.model(), on_its_way.totals().await.unwrap()), (next, &other(), (1, 1)));
    for collection in [held.current.1, on_its_way] {
        collection.close().await.unwrap();
    }
    catalogue.promote(next).await.unwrap();
    // Whatever nothing names is a remainder and goes.
    let remainder = catalogue.create(next + 1, &small()).await.unwrap();
    remainder.close().await.unwrap();
    let held = catalogue.open(&small()).await.unwrap();
    assert!(held.next.is_none());
    assert_eq!((held.current.0, held.current.1.totals().await.unwrap()), (next, (1, 1)));
    held.current.1.close().await.unwrap();
    catalogue.set_next(Some(next)).await.unwrap();
    catalogue.set_next(None).await.unwrap();
    assert!(catalogue.open(&small()).await.unwrap().next.is_none());
}

#[tokio::test]
async fn the_engine_in_the_process_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conforms(&Folder::lock(dir.path()).await.unwrap()).await;
}

fn server(url: &str, key: Option<Key>, name: &str) -> Server {
    let timeout = Duration::from_secs(20);
    Server::connect(ServerOptions { url: url.to_owned(), key, name: name.to_owned(), timeout }).unwrap()
}

#[tokio::test]
async fn a_qdrant_server_conforms() {
    let Ok(url) = std::env::var("QDRANT_URL") else {
        eprintln!("skipped: QDRANT_URL names no Qdrant server, so nothing here has run against one");
        return;
    };
    let key = std::env::var("QDRANT_API_KEY").ok().map(|key| Key::new(&key).unwrap());
    let name = format!("crave-conformance-{}", std::process::id());
    let server = server(&url, key, &name);
    conforms(&server).await;
    let held = server.open(&small()).await.unwrap();
    server.remove(held.current.0).await.unwrap();
}

#[tokio::test]
async fn the_stand_in_of_a_server_conforms() {
    let url = standin::start().await;
    conforms(&server(&url, None, "crave")).await;
}

#[tokio::test]
async fn a_server_that_is_away_is_named_and_may_come_back() {
    let error = server("http://127.0.0.1:9", None, "crave").open(&small()).await.err().unwrap();
    assert_eq!(error.kind(), crate::ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("http://127.0.0.1:9"), "{error}");
}
