//! Against a real broker, where `KAFKA_BOOTSTRAP` says so: `scripts/kafka.sh run cargo test -p crave-connect kafka`.

use std::{path::Path, sync::Arc, time::Duration};

use crave_schemas::{Clock, EventId, ManualClock, UserId};
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};
use serde_json::json;

use super::{super::conformance, *};
use crate::{
    Admit,
    log::{IdState, partition_of},
};

fn brokers() -> Option<String> {
    let brokers = std::env::var("KAFKA_BOOTSTRAP").ok();
    if brokers.is_none() {
        eprintln!("skipped: KAFKA_BOOTSTRAP is not set; scripts/kafka.sh run … starts a broker and sets it");
    }
    brokers
}

/// The folder's random name keeps tests on one broker apart.
fn prefix(folder: &Path) -> String {
    let name: String =
        folder.file_name().unwrap().to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{name}.")
}

async fn open(brokers: &str, folder: &Path, ids: &str) -> KafkaLog {
    let options = KafkaOptions {
        brokers: brokers.into(),
        prefix: prefix(folder),
        partitions: 2,
        client: Vec::new(),
        writes: true,
    };
    KafkaLog::open(&folder.join(ids), options).await.unwrap()
}

fn record(value: &str) -> Record {
    Record { key: "ada".into(), value: value.into() }
}

fn key(n: u8) -> IdKey {
    let user = UserId::new("ada").unwrap();
    IdKey::new(&user, EventId::derived(&user, &[n]))
}

fn admission(n: u8, position: Offset) -> Admission {
    let entry =
        IdEntry { state: IdState::Admitted, body: [n; 16], offset: 0, event_time_us: 0, pending: true };
    let records = vec![(Topic::Events, 0, record(&n.to_string()))];
    Admission { records, ids: vec![(key(n), entry)], position }
}

async fn events(log: &KafkaLog, partition: u32) -> Vec<Stored> {
    let (mut from, mut out) = (0, Vec::new());
    loop {
        let read = log.read(Topic::Events, partition, from, 1 << 20, Duration::ZERO).await.unwrap();
        let Some(last) = read.last() else { return out };
        from = last.offset + 1;
        out.extend(read);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    let Some(brokers) = brokers() else { return };
    let folder = tempfile::tempdir().unwrap();
    conformance::suite(open(&brokers, folder.path(), "ids").await, async |log| {
        drop(log);
        open(&brokers, folder.path(), "ids").await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_old_index_is_built_from_the_changelog() {
    let Some(brokers) = brokers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = open(&brokers, folder.path(), "ids").await;
    log.admit(0, admission(1, 5)).await.unwrap();
    log.append_once("job/out", 4, Topic::Memories, vec![(0, record("m"))]).await.unwrap();
    drop(log);
    // Another folder: as if the kill had come between the commit and the index's write.
    let log = open(&brokers, folder.path(), "other").await;
    log.admit(0, admission(2, 6)).await.unwrap();
    drop(log);
    let log = open(&brokers, folder.path(), "ids").await;
    assert_eq!(log.position(0).await.unwrap(), 6);
    let found = log.lookup(&[key(1), key(2), key(3)]).unwrap();
    let stored = events(&log, 0).await;
    let offsets: Vec<_> = stored.iter().map(|s| Some(s.offset)).chain([None]).collect();
    assert_eq!(found.iter().map(|e| e.map(|e| e.offset)).collect::<Vec<_>>(), offsets);
    log.append_once("job/out", 4, Topic::Memories, vec![(0, record("again"))]).await.unwrap();
    assert_eq!(log.read(Topic::Memories, 0, 0, 1, Duration::ZERO).await.unwrap().len(), 1);
    let end = log.bounds(Topic::Events, 0).await.unwrap().end;
    assert_eq!(
        end,
        stored.last().unwrap().offset + 1,
        "the end is after the last record, not after a marker"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_taken_over_writes_no_more() {
    let Some(brokers) = brokers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let zombie = open(&brokers, folder.path(), "ids").await;
    zombie.admit(0, admission(1, 1)).await.unwrap();
    let successor = open(&brokers, folder.path(), "other").await;
    for _ in 0..2 {
        let refused = zombie.admit(0, admission(2, 2)).await;
        assert!(matches!(&refused, Err(Error::Fenced { id }) if id == "crave-admit-0"), "{refused:?}");
    }
    successor.admit(0, admission(3, 3)).await.unwrap();
    let values: Vec<_> = events(&successor, 0).await.into_iter().map(|s| s.record.value).collect();
    assert_eq!(values, [b"1", b"3"], "nothing of the refused pass is seen");
    assert_eq!(successor.lookup(&[key(2)]).unwrap(), [None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_another_shape_are_refused() {
    let Some(brokers) = brokers() else { return };
    let folder = tempfile::tempdir().unwrap();
    drop(open(&brokers, folder.path(), "ids").await);
    let options = KafkaOptions {
        brokers,
        prefix: prefix(folder.path()),
        partitions: 3,
        client: Vec::new(),
        writes: true,
    };
    let other = KafkaLog::open(&folder.path().join("ids"), options).await;
    assert!(matches!(other, Err(Error::Repartitioned { found: 2, wanted: 3 })), "{other:?}");
}

/// IN-1 over both doors: a stock producer with Kafka's own partitioner, and our append, as HTTP does it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stock_producers_events_are_deduplicated_with_ours() {
    let Some(brokers) = brokers() else { return };
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(open(&brokers, folder.path(), "ids").await);
    let clock = ManualClock::at("2026-01-02T00:00:00Z".parse().unwrap());
    let users = ["ada", "bob", "eve", "joe"];
    let event = |user: &str, n: u8| {
        let user_id = UserId::new(user).unwrap();
        let id = EventId::derived(&user_id, &[n]).to_string();
        json!({ "event_id": id, "user_id": user, "source": "watch", "kind": "craving",
                "event_time": "2026-01-01T00:00:00Z", "payload": { "craving": "sugar", "intensity": n } })
        .to_string()
    };
    let stock: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("partitioner", "murmur2_random")
        .set("compression.type", "gzip")
        .create()
        .unwrap();
    let inbox = format!("{}crave.inbox.v1", prefix(folder.path()));
    for n in 1..=3 {
        for user in users {
            let payload = event(user, n);
            let sent = stock.send(FutureRecord::to(&inbox).key(user).payload(&payload), ANSWER_MAX).await;
            let at = sent.unwrap();
            assert_eq!(at.partition.cast_unsigned(), partition_of(user, 2), "{user}");
        }
    }
    // Sent again through the other door, and one to a wrong partition, which is passed on to the right one.
    for user in users {
        let owner = partition_of(user, 2);
        let record = |n| Record { key: user.into(), value: event(user, n).into_bytes() };
        log.append(Topic::Inbox, vec![(owner, record(2)), (owner, record(4)), (1 - owner, record(1))])
            .await
            .unwrap();
    }
    let admit = Admit {
        log: Arc::clone(&log) as Arc<dyn EventLog>,
        clock: Arc::new(clock) as Arc<dyn Clock>,
        heartbeat: Duration::from_secs(10),
    };
    for partition in [0, 1, 0, 1] {
        admit.drain(partition).await.unwrap();
    }
    let mut seen = Vec::new();
    for partition in 0..2 {
        let inbox = log.bounds(Topic::Inbox, partition).await.unwrap();
        assert_eq!(log.position(partition).await.unwrap(), inbox.end, "the end of the inbox is reached");
        for stored in events(&log, partition).await {
            assert_eq!(partition_of(&stored.record.key, 2), partition);
            let value: serde_json::Value = serde_json::from_slice(&stored.record.value).unwrap();
            seen.push((stored.record.key, value["event_id"].as_str().unwrap().to_owned()));
        }
        let dead = log.bounds(Topic::Dead, partition).await.unwrap();
        assert!(dead.is_empty(), "{dead:?}");
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((count, seen.len()), (16, 16), "each event once");
}
