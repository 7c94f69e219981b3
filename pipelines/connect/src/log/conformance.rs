//! What every [`EventLog`] must do: one suite, run against each implementation.

use std::{sync::Arc, time::Duration};

use crave_schemas::{EventId, UserId};

use super::{Admission, EventLog, IdEntry, IdKey, IdState, Record, Topic};

const NOW: Duration = Duration::ZERO;

fn record(key: &str, value: &str) -> Record {
    Record { key: key.into(), value: value.into() }
}

async fn values(log: &dyn EventLog, topic: Topic, partition: u32) -> Vec<String> {
    let (mut from, mut out) = (0, Vec::new());
    loop {
        let read = log.read(topic, partition, from, 64, NOW).await.unwrap();
        let Some(last) = read.last() else { return out };
        from = last.offset + 1;
        out.extend(read.into_iter().map(|s| String::from_utf8(s.record.value).unwrap()));
    }
}

/// Runs the suite on a fresh log; `reopen` closes it and opens it again on the same data.
pub(crate) async fn suite<L: EventLog + 'static>(log: L, reopen: impl AsyncFn(L) -> L) {
    let log = appends_in_order(log, &reopen).await;
    let log = a_waiting_reader_wakes(log).await;
    let log = admits_all_or_nothing(log, &reopen).await;
    let log = appends_an_epoch_once(log, &reopen).await;
    trims_whole_batches(log, &reopen).await;
}

async fn appends_in_order<L: EventLog>(log: L, reopen: &impl AsyncFn(L) -> L) -> L {
    log.probe().await.unwrap();
    assert_eq!(log.bounds(Topic::Inbox, 0).await.unwrap(), 0..0, "a probe leaves nothing behind");
    log.append(Topic::Inbox, vec![(0, record("a", "1")), (1, record("b", "2")), (0, record("a", "3"))])
        .await
        .unwrap();
    log.append(Topic::Inbox, vec![(0, record("a", "4"))]).await.unwrap();
    let log = reopen(log).await;
    assert_eq!(values(&log, Topic::Inbox, 0).await, ["1", "3", "4"]);
    assert_eq!(values(&log, Topic::Inbox, 1).await, ["2"]);
    let from_middle = log.read(Topic::Inbox, 0, 1, 1 << 20, NOW).await.unwrap();
    assert_eq!(from_middle.len(), 2, "reading starts inside a batch");
    assert!(log.append(Topic::Inbox, vec![(99, record("a", "x"))]).await.is_err());
    log
}

async fn a_waiting_reader_wakes<L: EventLog + 'static>(log: L) -> L {
    let log = Arc::new(log);
    let reader = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.read(Topic::Memories, 0, 0, 64, Duration::from_secs(20)).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    log.append(Topic::Memories, vec![(0, record("a", "late"))]).await.unwrap();
    assert_eq!(reader.await.unwrap().len(), 1);
    Arc::into_inner(log).unwrap()
}

async fn admits_all_or_nothing<L: EventLog>(log: L, reopen: &impl AsyncFn(L) -> L) -> L {
    let key = IdKey::new(&UserId::new("a").unwrap(), EventId::derived(&UserId::new("a").unwrap(), b"1"));
    let entry =
        |offset| IdEntry { state: IdState::Admitted, body: [1; 16], offset, event_time_us: 5, pending: true };
    for round in 0..2 {
        let records = vec![(Topic::Events, 0, record("a", "x")), (Topic::Events, 0, record("a", "y"))];
        log.admit(0, Admission { records, ids: vec![(key, entry(1))], position: 7 + round }).await.unwrap();
    }
    let log = reopen(log).await;
    assert_eq!(log.position(0).await.unwrap(), 8);
    assert_eq!(log.position(1).await.unwrap(), 0);
    let found = log.lookup(&[key]).unwrap()[0].unwrap();
    let stored = log.read(Topic::Events, 0, found.offset, 1, NOW).await.unwrap();
    assert_eq!(stored[0].record.value, b"y", "an entry's offset is where its record lies");
    assert_eq!(values(&log, Topic::Events, 0).await.len(), 4);
    log
}

async fn appends_an_epoch_once<L: EventLog>(log: L, reopen: &impl AsyncFn(L) -> L) -> L {
    let before = values(&log, Topic::Memories, 1).await.len();
    log.append_once("job/out", 3, Topic::Memories, vec![(1, record("a", "m"))]).await.unwrap();
    let log = reopen(log).await;
    for epoch in [3, 2] {
        log.append_once("job/out", epoch, Topic::Memories, vec![(1, record("a", "again"))]).await.unwrap();
    }
    log.append_once("job/other", 1, Topic::Memories, vec![(1, record("a", "n"))]).await.unwrap();
    assert_eq!(values(&log, Topic::Memories, 1).await[before..], ["m", "n"]);
    log
}

async fn trims_whole_batches<L: EventLog>(log: L, reopen: &impl AsyncFn(L) -> L) {
    let end = log.bounds(Topic::Inbox, 0).await.unwrap().end;
    log.trim(Topic::Inbox, 0, 1).await.unwrap();
    assert_eq!(values(&log, Topic::Inbox, 0).await.last().unwrap(), "4");
    log.trim(Topic::Inbox, 0, end).await.unwrap();
    let log = reopen(log).await;
    assert!(values(&log, Topic::Inbox, 0).await.is_empty());
    assert_eq!(
        log.bounds(Topic::Inbox, 0).await.unwrap().end,
        end,
        "offsets are not used again after a trim"
    );
    assert_eq!(values(&log, Topic::Inbox, 1).await, ["2"], "other partitions are left alone");
}
