//! At any checkpoint the rows of closed windows and those of open ones, looked at, are together what the batch gives for
//! the rows read so far; and looking changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::stream_equals_batch::{QUERIES, Row, batch, block_on, rows, seeds, tables};
use crate::support::memory::{Memory, Remember};
use crate::support::repair::repaired;
use crate::support::{assert_same, json_rows, options};
use arrow::array::RecordBatch;
use crave_flow::{CheckpointStore, Connectors, LiveTable, Pipeline, PipelineHandle, Program};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use serde_json::{Map, Value};

async fn looked_at(table: &LiveTable, only: Option<(&str, &str)>) -> Vec<Map<String, Value>> {
    json_rows(&table.rows(only).await.unwrap())
}

/// The query over these rows, as a batch.
async fn computed(program: &Program, rows: Vec<RecordBatch>) -> Vec<Map<String, Value>> {
    let context = SessionContext::new();
    let schema = program.sources().next().unwrap().physical.clone();
    context.register_table("source", Arc::new(MemTable::try_new(schema, vec![rows]).unwrap())).unwrap();
    let mut frames = program.batch(&context).await.unwrap();
    json_rows(&frames.pop().unwrap().1.collect().await.unwrap())
}

/// Waits until this many rows are read since the start.
async fn read(handle: &PipelineHandle, rows: usize) {
    while handle.status().jobs[0].rows_in < rows as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether the query can be looked at.
async fn check((columns, query): (&str, &str), partitions: &[Vec<Vec<Row>>], parallelism: &[usize]) -> bool {
    let sql = format!(
        "{} CREATE TABLE sink ({columns}) WITH (connector = 'memory', type = 'sink'); INSERT INTO sink {query}",
        tables()
    );
    let program = || async { Program::parse("job", &sql, &BTreeMap::new()).await.unwrap() };
    let first = program().await;
    let data: Vec<Vec<RecordBatch>> = partitions
        .iter()
        .map(|p| p.iter().filter(|b| !b.is_empty()).map(|b| batch(&first, b)).collect())
        .collect();
    let shown = Arc::new(AtomicUsize::new(0));
    let memory = Memory { shown: Some(Arc::clone(&shown)), ..Memory::new(data.clone()) };
    let connectors = Connectors::new().with("memory", Arc::new(memory.clone()));
    let observer = Arc::new(Remember::default());
    let folder = tempfile::tempdir().unwrap();
    let longest = data.iter().map(Vec::len).max().unwrap_or_default();
    let so_far =
        |cut: usize| -> Vec<RecordBatch> { data.iter().flat_map(|p| p.iter().take(cut).cloned()).collect() };
    let count = |cut: usize| so_far(cut).iter().map(RecordBatch::num_rows).sum::<usize>();
    let mut cut = 0;
    for (run, &tasks) in parallelism.iter().enumerate() {
        let store = CheckpointStore::local(folder.path()).unwrap();
        let programs = vec![program().await];
        let handle = Pipeline::start(programs, &connectors, store, Some(observer.clone()), options(tasks));
        let handle = handle.await.unwrap();
        // A union of windows of two kinds has no shape to be known by.
        let live = handle.view().live().pop();
        let Some(live) = live else { return false };
        if let Err(error) = live.rows(None).await {
            assert!(error.to_string().contains("cannot be looked at"), "{query}: {error}");
            return false;
        }
        let before = count(cut);
        let to = longest * (run + 1) / parallelism.len();
        while cut < to {
            cut += 1;
            shown.store(cut, Ordering::SeqCst);
            let _ = looked_at(&live, None).await;
            read(&handle, count(cut) - before).await;
            handle.checkpoint().await.unwrap();
            let expected = computed(&first, so_far(cut)).await;
            let open = looked_at(&live, None).await;
            let mut all = memory.rows("job", "sink");
            all.extend(open.clone());
            let dirty = observer.dirty("sink");
            let what = format!("{query} after {cut} of {longest} batches at {tasks}");
            assert_same(&what, &repaired(&first.outputs()[0], all, &dirty, &expected), &expected);
            if columns.contains("who") {
                let of_a: Vec<_> =
                    open.into_iter().filter(|row| row.get("who") == Some(&"a".into())).collect();
                assert_same(&what, &looked_at(&live, Some(("who", "a"))).await, &of_a);
            }
        }
        handle.stop_at_checkpoint().await.unwrap();
        assert!(live.rows(None).await.is_err(), "nobody answers for jobs that have stopped");
    }
    // To the end: what was looked at is written all the same.
    shown.store(usize::MAX, Ordering::SeqCst);
    let store = CheckpointStore::local(folder.path()).unwrap();
    let programs = vec![program().await];
    let handle =
        Pipeline::start(programs, &connectors, store, Some(observer.clone()), options(2)).await.unwrap();
    handle.join().await.unwrap();
    let expected = computed(&first, so_far(longest)).await;
    let dirty = observer.dirty("sink");
    let rows = memory.rows("job", "sink");
    assert_same(query, &repaired(&first.outputs()[0], rows, &dirty, &expected), &expected);
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: seeds() / 2, ..ProptestConfig::default() })]
    #[test]
    fn closed_and_open_windows_are_the_batch_so_far(
        partitions in rows(),
        query in 0..QUERIES.len(),
        parallelism in proptest::collection::vec(1usize..4, 1..4),
    ) {
        block_on(async { check(QUERIES[query], &partitions, &parallelism).await; });
    }
}

/// Every query at least once; those over plain windows can be looked at, the others say why not.
#[tokio::test]
async fn every_query_is_looked_at_or_refused() {
    let row = |i: i64| {
        let late = if i % 9 == 0 { 25 } else { i * 7 % 6 };
        let who = (i % 11 != 0).then(|| u8::try_from(i * 3 % 5).unwrap());
        (1000 + i * 2 + (i / 20) * 15 - late, who, (i % 7 != 0).then_some(i * i % 10))
    };
    let batches =
        |from: i64| (0..5).map(|b| (0..8).map(|i| row(from + b * 8 + i)).collect()).collect::<Vec<_>>();
    let mut seen = Vec::new();
    for query in QUERIES {
        seen.push(check(*query, &[batches(0), batches(3)], &[1, 3]).await);
    }
    // tumble, two hops, a hop over all; two sessions; UNNEST before a tumble.
    let looked_at: Vec<_> = seen.iter().enumerate().filter(|(_, seen)| **seen).map(|(at, _)| at).collect();
    assert_eq!(looked_at, [0, 1, 2, 3, 5, 6, 17]);
}
