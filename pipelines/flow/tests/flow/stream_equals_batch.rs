//! DESIGN FL-1 over random data: what the stream wrote, with the dirty windows recomputed by the batch, equals
//! the batch; through crashes, at changing parallelism, with several partitions and late rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::random_query::{self, COLUMNS, Query};
use crate::support::memory::{Memory, Remember};
use crate::support::repair::{left_by, repaired};
use crate::support::{assert_same, json_rows};
use arrow::array::{
    BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampNanosecondArray,
};
use crave_flow::{CheckpointStore, Connectors, JobStart, Pipeline, PipelineOptions, Program};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;

pub(crate) type Row = (i64, Option<u8>, Option<i64>);

pub(crate) fn tables() -> String {
    format!(
        "CREATE TABLE source (ts TIMESTAMP NOT NULL, {COLUMNS}, WATERMARK FOR ts AS ts - INTERVAL '5 seconds')
         WITH (connector = 'memory', type = 'source');"
    )
}

/// A query and the columns of the sink it writes to.
pub(crate) const QUERIES: &[(&str, &str)] = &[
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, rows BIGINT, total BIGINT, mean DOUBLE, kinds BIGINT",
        "SELECT window.start, window.end, who, rows, total, mean, kinds FROM (
           SELECT tumble(INTERVAL '20 seconds') AS window, who, count(*) AS rows, sum(n) AS total, avg(n) AS mean,
                  count(DISTINCT n) AS kinds
           FROM source GROUP BY window, who)",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, rows BIGINT, low BIGINT, odd BIGINT",
        "SELECT window.start, window.end, who, rows, low, odd FROM (
           SELECT hop(INTERVAL '7 seconds', INTERVAL '35 seconds') AS window, who, count(*) AS rows, min(n) AS low,
                  count(*) FILTER (WHERE n % 2 = 1) AS odd
           FROM source WHERE n IS NULL OR n > 1 GROUP BY who, window)",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, rows BIGINT, mean DOUBLE, kinds BIGINT",
        "SELECT window.start, window.end, who, rows, mean, kinds FROM (
           SELECT hop(INTERVAL '2 seconds', INTERVAL '40 seconds') AS window, who, count(*) AS rows, avg(n) AS mean,
                  count(DISTINCT n) AS kinds
           FROM source GROUP BY window, who)",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), rows BIGINT, peak BIGINT",
        "SELECT window.start, window.end, rows, peak FROM (
           SELECT hop(INTERVAL '10 seconds', INTERVAL '30 seconds') AS window, count(*) AS rows, max(n) AS peak
           FROM source GROUP BY window)",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), people BIGINT, busiest BIGINT",
        "SELECT window.start, window.end, people, busiest FROM (
           SELECT window, count(*) AS people, max(rows) AS busiest FROM (
             SELECT tumble(INTERVAL '15 seconds') AS window, who, count(*) AS rows FROM source GROUP BY window, who)
           GROUP BY window)",
    ),
    // Sessions, by key and over all.
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, rows BIGINT, total BIGINT, kinds BIGINT",
        "SELECT window.start, window.end, who, rows, total, kinds FROM (
           SELECT session(INTERVAL '10 seconds') AS window, who, count(*) AS rows, sum(n) AS total, count(DISTINCT n) AS kinds
           FROM source GROUP BY window, who)",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), rows BIGINT, low BIGINT",
        "SELECT window.start, window.end, rows, low FROM (
           SELECT session(INTERVAL '4 seconds') AS window, count(*) AS rows, min(n) AS low FROM source GROUP BY window)",
    ),
    // Ranks within windows, of all and by key.
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, total BIGINT, place BIGINT",
        "SELECT window.start, window.end, who, total, place FROM (
           SELECT *, row_number() OVER (PARTITION BY window ORDER BY total DESC, who) AS place FROM (
             SELECT tumble(INTERVAL '20 seconds') AS window, who, sum(n) AS total FROM source GROUP BY window, who))
         WHERE place <= 2",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, n BIGINT, rows BIGINT",
        "SELECT window.start, window.end, who, n, rows FROM (
           SELECT *, row_number() OVER (PARTITION BY who, window ORDER BY rows DESC, n) AS place FROM (
             SELECT hop(INTERVAL '10 seconds', INTERVAL '20 seconds') AS window, who, n, count(*) AS rows
             FROM source GROUP BY window, who, n))
         WHERE place = 1",
    ),
    // Joins as windows close.
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, even BIGINT, odd BIGINT",
        "SELECT a.window.start, a.window.end, a.who, a.rows, b.rows FROM
           (SELECT tumble(INTERVAL '20 seconds') AS window, who, count(*) AS rows FROM source WHERE n % 2 = 0 GROUP BY window, who) a
           JOIN (SELECT tumble(INTERVAL '20 seconds') AS window, who, count(*) AS rows FROM source WHERE n % 2 = 1 GROUP BY window, who) b
           ON a.window = b.window AND a.who = b.who",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, n BIGINT, even BIGINT, odd BIGINT",
        "SELECT a.window.start, a.window.end, a.who, a.n, a.rows, b.rows FROM
           (SELECT hop(INTERVAL '10 seconds', INTERVAL '20 seconds') AS window, who, n, count(*) AS rows FROM source GROUP BY window, who, n) a
           LEFT JOIN (SELECT hop(INTERVAL '10 seconds', INTERVAL '20 seconds') AS window, who, count(*) AS rows FROM source WHERE n > 6 GROUP BY window, who) b
           ON a.window = b.window AND a.who = b.who",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, even BIGINT, odd BIGINT",
        "SELECT b.window.start, b.window.end, b.who, a.rows, b.rows FROM
           (SELECT tumble(INTERVAL '15 seconds') AS window, who, count(*) AS rows FROM source WHERE n % 3 = 0 GROUP BY window, who) a
           RIGHT JOIN (SELECT tumble(INTERVAL '15 seconds') AS window, who, count(*) AS rows FROM source WHERE n % 3 = 1 GROUP BY window, who) b
           ON a.window.start = b.window.start AND a.window.end = b.window.end AND a.who = b.who",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, even BIGINT, odd BIGINT",
        "SELECT coalesce(a.window.start, b.window.start), coalesce(a.window.end, b.window.end), coalesce(a.who, b.who), a.rows, b.rows FROM
           (SELECT tumble(INTERVAL '20 seconds') AS window, who, count(*) AS rows FROM source WHERE n % 2 = 0 GROUP BY window, who) a
           FULL JOIN (SELECT tumble(INTERVAL '20 seconds') AS window, who, count(*) AS rows FROM source WHERE n % 2 = 1 GROUP BY window, who) b
           ON a.window = b.window AND a.who = b.who",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, rows BIGINT, share DOUBLE",
        "SELECT a.window.start, a.window.end, a.who, a.rows, CAST(a.rows AS DOUBLE) / b.rows FROM
           (SELECT tumble(INTERVAL '30 seconds') AS window, who, count(*) AS rows FROM source GROUP BY window, who) a
           JOIN (SELECT tumble(INTERVAL '30 seconds') AS window, count(*) AS rows FROM source GROUP BY window) b
           ON a.window = b.window",
    ),
    // What is windowed, windowed again; an aggregate of a join; distinct rows; sessions joined.
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, parts BIGINT, most BIGINT",
        "SELECT window.start, window.end, who, parts, most FROM (
           SELECT hop(INTERVAL '20 seconds', INTERVAL '60 seconds') AS window, who, count(*) AS parts, max(rows) AS most FROM (
             SELECT tumble(INTERVAL '10 seconds') AS inner_window, who, count(*) AS rows FROM source GROUP BY inner_window, who)
           GROUP BY window, who)",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), pairs BIGINT, rows BIGINT",
        "SELECT window.start, window.end, pairs, rows FROM (
           SELECT window, count(*) AS pairs, sum(x + y) AS rows FROM (
             SELECT a.window AS window, a.who, a.rows AS x, b.rows AS y FROM
               (SELECT tumble(INTERVAL '20 seconds') AS window, who, count(*) AS rows FROM source WHERE n % 2 = 0 GROUP BY window, who) a
               JOIN (SELECT tumble(INTERVAL '20 seconds') AS window, who, count(*) AS rows FROM source WHERE n % 2 = 1 GROUP BY window, who) b
               ON a.window = b.window AND a.who = b.who)
           GROUP BY window)",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), rows BIGINT",
        "SELECT window.start, window.end, rows FROM (
           SELECT DISTINCT window, rows FROM (
             SELECT tumble(INTERVAL '20 seconds') AS window, who, count(*) AS rows FROM source GROUP BY window, who))",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, m BIGINT, rows BIGINT",
        "SELECT window.start, window.end, who, m, rows FROM (
           SELECT tumble(INTERVAL '20 seconds') AS window, who, m, count(*) AS rows
           FROM (SELECT who, unnest(make_array(n, n + 1)) AS m FROM source) GROUP BY window, who, m)",
    ),
    (
        "window_start TIMESTAMP(6), window_end TIMESTAMP(6), who TEXT, n BIGINT",
        "SELECT window.start, window.end, who, rows FROM (
           SELECT tumble(INTERVAL '10 seconds') AS window, who, count(*) AS rows FROM source WHERE n < 5 GROUP BY window, who
           UNION ALL
           SELECT tumble(INTERVAL '30 seconds') AS window, who, sum(n) AS rows FROM source GROUP BY window, who)",
    ),
];

/// Queries without windows, and the columns of the sink that is given their changes.
const UPDATING: &[(&str, &str)] = &[
    (
        "who TEXT, rows BIGINT, total BIGINT, mean DOUBLE, low BIGINT, kinds BIGINT",
        "SELECT who, count(*), sum(n), avg(n), min(n), count(DISTINCT n) FROM source GROUP BY who",
    ),
    (
        "who TEXT, rows BIGINT",
        "SELECT who, rows FROM (SELECT who, count(*) AS rows FROM source GROUP BY who) WHERE rows > 3 AND rows % 3 <> 1",
    ),
    ("peak BIGINT, people BIGINT", "SELECT max(n), count(DISTINCT who) FROM source"),
    // Aggregates of what changes itself.
    (
        "rows BIGINT, people BIGINT, most BIGINT, least BIGINT",
        "SELECT rows, count(*), max(total), min(who_total) FROM (
           SELECT who, count(*) AS rows, sum(n) AS total, min(n) AS who_total FROM source GROUP BY who) GROUP BY rows",
    ),
    ("who TEXT, n BIGINT", "SELECT DISTINCT who, n FROM source WHERE n > 3"),
    // Joins over all time, of rows and of what changes.
    (
        "a TEXT, b TEXT, n BIGINT",
        "SELECT a.who, b.who, a.n FROM (SELECT who, n FROM source WHERE n < 3) a
         JOIN (SELECT who, n FROM source WHERE n IN (0, 2, 9)) b ON a.n = b.n AND a.who <= b.who",
    ),
    (
        "a TEXT, b TEXT, n BIGINT, m BIGINT",
        "SELECT a.who, b.who, a.n, b.n FROM (SELECT DISTINCT who, n FROM source WHERE n < 5) a
         LEFT JOIN (SELECT DISTINCT who, n FROM source WHERE n >= 5) b ON a.n + 4 = b.n",
    ),
    (
        "a TEXT, b TEXT, x BIGINT, y BIGINT",
        "SELECT a.who, b.who, a.rows, b.rows FROM
           (SELECT who, count(*) AS rows FROM source WHERE n % 2 = 0 GROUP BY who) a
           FULL JOIN (SELECT who, count(*) AS rows FROM source WHERE n % 2 = 1 GROUP BY who) b ON a.who = b.who",
    ),
    (
        "a TEXT, b TEXT, x BIGINT, y BIGINT",
        "SELECT a.who, b.who, a.rows, b.rows FROM
           (SELECT who, count(*) AS rows FROM source GROUP BY who HAVING count(*) < 4) a
           RIGHT JOIN (SELECT who, count(*) AS rows FROM source WHERE n > 2 GROUP BY who) b ON a.rows = b.rows",
    ),
    (
        "who TEXT, pairs BIGINT, total BIGINT",
        "SELECT who, count(m), sum(m) FROM (
           SELECT a.who AS who, b.n AS m FROM (SELECT who, n FROM source WHERE n < 3) a
           LEFT JOIN (SELECT DISTINCT n FROM source WHERE n > 7) b ON a.n + 7 = b.n) GROUP BY who",
    ),
    (
        "who TEXT, rows BIGINT",
        "SELECT who, count(*) FROM source WHERE n = 1 GROUP BY who UNION ALL SELECT who, n FROM source WHERE n = 2",
    ),
];

/// The rows of a source; the columns behind `n` follow from those before, NULL now and then.
pub(crate) fn batch(program: &Program, rows: &[Row]) -> RecordBatch {
    let schema = program.sources().next().unwrap().physical.clone();
    let names = |k: u8| ["a", "b", "c", "d", "e"][usize::from(k % 5)];
    let words = ["oak", "ash", "elm", "larch", "", "Äpfel"];
    let other = |row: &Row, column: i64| {
        let mixed = (row.0 * 31 + i64::from(row.1.unwrap_or(9)) * 7 + row.2.unwrap_or(11))
            * (column * 2 + 13)
            + column;
        let value = (mixed ^ (mixed >> 5)).rem_euclid(1009);
        (value % 8 != 0).then_some(value)
    };
    let small = |value: i64| i32::try_from(value).unwrap();
    RecordBatch::try_new(
        schema,
        vec![
            Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|r| r.0 * 1_000_000_000))),
            Arc::new(rows.iter().map(|r| r.1.map(names)).collect::<StringArray>()),
            Arc::new(rows.iter().map(|r| r.2).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| other(r, 1).map(|v| small(v % 4) - 1)).collect::<Int32Array>()),
            // Eighths, so that sums are exact in any order.
            Arc::new(
                rows.iter()
                    .map(|r| other(r, 2).map(|v| f64::from(small(v % 700)) / 8.0))
                    .collect::<Float64Array>(),
            ),
            Arc::new(rows.iter().map(|r| other(r, 3).map(|v| v % 3 == 0)).collect::<BooleanArray>()),
            Arc::new(
                rows.iter()
                    .map(|r| other(r, 4).map(|v| words[usize::try_from(v % 6).unwrap()]))
                    .collect::<StringArray>(),
            ),
            Arc::new(
                rows.iter()
                    .map(|r| other(r, 5).map(|v| v * 1_000_001))
                    .collect::<TimestampMicrosecondArray>(),
            ),
            Arc::new(
                rows.iter().map(|r| other(r, 6).map(|v| small(v % 3) + 20_000)).collect::<Date32Array>(),
            ),
        ],
    )
    .unwrap()
}

/// Runs a query over the rows, stopped and resumed at changing parallelism, and compares with the batch.
async fn check(
    Query { columns, sql, updating }: &Query,
    partitions: &[Vec<Vec<Row>>],
    parallelism: &[usize],
    share: u64,
    crash: bool,
) {
    let updating = *updating;
    let format = if updating { ", format = 'debezium_json'" } else { "" };
    let what = sql;
    let sql = format!(
        "{} CREATE TABLE sink ({columns}) WITH (connector = 'memory', type = 'sink'{format}); INSERT INTO sink {sql}",
        tables()
    );
    let program = || async {
        let parsed = Program::parse("job", &sql, &BTreeMap::new()).await;
        parsed.unwrap_or_else(|error| panic!("{what}: {error} {error:?}"))
    };
    let first = program().await;
    let data = partitions
        .iter()
        .map(|p| p.iter().filter(|b| !b.is_empty()).map(|b| batch(&first, b)).collect::<Vec<_>>())
        .collect::<Vec<_>>();
    let memory = Memory::new(data.clone());
    *memory.fail_commits.lock().unwrap() = u32::from(crash);
    let connectors = Connectors::new().with("memory", Arc::new(memory.clone()));
    let folder = tempfile::tempdir().unwrap();
    let observer = Arc::new(Remember::default());
    let mut runs = parallelism.to_vec();
    runs.push(2);
    let mut next = 0;
    while let Some(&parallelism) = runs.get(next) {
        let options = PipelineOptions {
            parallelism,
            checkpoint_interval: None,
            checkpoint_rows: Some(share),
            stop_at_first_checkpoint: next + 1 < runs.len(),
            channel_batches: 2,
            batch_rows: 3,
            ..PipelineOptions::default()
        };
        let store = CheckpointStore::local(folder.path()).unwrap();
        let programs = vec![program().await];
        let handle = Pipeline::start(programs, &connectors, store, Some(observer.clone()), options).await;
        match handle.unwrap().join().await {
            Ok(()) => next += 1,
            Err(error) => assert!(error.to_string().contains("committing"), "{what}: {error:?}"),
        }
    }

    let context = SessionContext::new();
    let schema = first.sources().next().unwrap().physical.clone();
    let all = data.into_iter().flatten().collect::<Vec<_>>();
    context.register_table("source", Arc::new(MemTable::try_new(schema, vec![all]).unwrap())).unwrap();
    let mut frames = first.batch(&context).await.unwrap();
    let expected = json_rows(&frames.pop().unwrap().1.collect().await.unwrap());

    let rows = memory.rows("job", "sink");
    if updating {
        let mut left = left_by(&rows);
        // A total over nothing is a row in a batch; a stream has not begun to count.
        if expected.len() == 1 && left.is_empty() && partitions.iter().flatten().flatten().count() == 0 {
            left = expected.clone();
        }
        assert_same(what, &left, &expected);
        return;
    }
    let dirty = observer.dirty("sink");
    assert_same(what, &repaired(&first.outputs()[0], rows, &dirty, &expected), &expected);
}

pub(crate) fn rows() -> impl Strategy<Value = Vec<Vec<Vec<Row>>>> {
    // Time moves on by small steps and long gaps; a row may be behind it by more than the watermark allows.
    let row = (
        prop_oneof![8 => 0i64..4, 1 => 30i64..400],
        prop_oneof![6 => 0i64..5, 1 => 5i64..60],
        proptest::option::weighted(0.9, 0u8..5),
        proptest::option::weighted(0.9, 0i64..10),
    );
    let partition = proptest::collection::vec(proptest::collection::vec(row, 0..12), 1..8);
    proptest::collection::vec(partition, 1..4).prop_map(|partitions| {
        let times = |batches: Vec<Vec<(i64, i64, Option<u8>, Option<i64>)>>| {
            let mut now = 1000;
            let row = |(step, back, who, n): (i64, i64, Option<u8>, Option<i64>)| {
                now += step;
                (now - back, who, n)
            };
            let mut row = row;
            batches.into_iter().map(|b| b.into_iter().map(&mut row).collect()).collect()
        };
        partitions.into_iter().map(times).collect()
    })
}

/// Runs a property: `FLOW_SEEDS` (default 64).
pub(crate) fn seeds() -> u32 {
    std::env::var("FLOW_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(64)
}

pub(crate) fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

fn fixed(updating: bool, index: usize) -> Query {
    let (columns, sql) = if updating { UPDATING[index] } else { QUERIES[index] };
    Query { columns: columns.into(), sql: sql.into(), updating }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: seeds(), ..ProptestConfig::default() })]
    #[test]
    fn stream_with_recomputed_dirt_equals_batch(
        partitions in rows(),
        query in 0..QUERIES.len(),
        parallelism in proptest::collection::vec(1usize..4, 0..4),
        share in 1u64..40,
        crash in any::<bool>(),
    ) {
        block_on(check(&fixed(false, query), &partitions, &parallelism, share, crash));
    }

    #[test]
    fn changes_leave_the_rows_of_the_batch(
        partitions in rows(),
        query in 0..UPDATING.len(),
        parallelism in proptest::collection::vec(1usize..4, 0..4),
        share in 1u64..40,
        crash in any::<bool>(),
    ) {
        block_on(check(&fixed(true, query), &partitions, &parallelism, share, crash));
    }

    #[test]
    fn random_windowed_queries_equal_the_batch(
        partitions in rows(),
        query in any::<u64>(),
        parallelism in proptest::collection::vec(1usize..4, 0..4),
        share in 1u64..40,
        crash in any::<bool>(),
    ) {
        block_on(check(&random_query::windowed(query), &partitions, &parallelism, share, crash));
    }

    #[test]
    fn random_updating_queries_leave_the_rows_of_the_batch(
        partitions in rows(),
        query in any::<u64>(),
        parallelism in proptest::collection::vec(1usize..4, 0..4),
        share in 1u64..40,
        crash in any::<bool>(),
    ) {
        block_on(check(&random_query::updating(query), &partitions, &parallelism, share, crash));
    }
}

/// Every query at least once, whatever the seeds choose.
#[tokio::test]
async fn every_query_over_the_same_rows() {
    let row = |i: i64| {
        let late = if i % 9 == 0 { 25 } else { i * 7 % 6 };
        let who = (i % 11 != 0).then(|| u8::try_from(i * 3 % 5).unwrap());
        (1000 + i * 2 + (i / 20) * 15 - late, who, (i % 7 != 0).then_some(i * i % 10))
    };
    let batches =
        |from: i64| (0..12).map(|b| (0..8).map(|i| row(from + b * 8 + i)).collect()).collect::<Vec<_>>();
    let all = (0..QUERIES.len()).map(|i| fixed(false, i)).chain((0..UPDATING.len()).map(|i| fixed(true, i)));
    for query in all {
        check(&query, &[batches(0), batches(3)], &[1, 3], 20, true).await;
    }
}

#[tokio::test]
async fn a_changed_program_starts_afresh_and_others_keep_their_state() {
    let table = |name: &str| {
        format!("{} CREATE TABLE {name} (n BIGINT) WITH (connector = 'memory', type = 'sink');", tables())
    };
    let a = format!("{} INSERT INTO a SELECT n FROM source", table("a"));
    let b = format!("{} INSERT INTO b SELECT n FROM source WHERE n > 1", table("b"));
    let changed = b.replace("n > 1", "n > 2");
    let none = BTreeMap::new();
    let first = Program::parse("a", &a, &none).await.unwrap();
    let rows = (0..6).map(|i| vec![(1000 + i, None, Some(i))]).collect::<Vec<_>>();
    let memory = Memory::new(vec![rows.iter().map(|r| batch(&first, r)).collect()]);
    let connectors = Connectors::new().with("memory", Arc::new(memory.clone()));
    let folder = tempfile::tempdir().unwrap();
    let mut stop = crate::support::options(2);
    stop.checkpoint_rows = Some(3);
    stop.stop_at_first_checkpoint = true;
    for (b, options, opened) in [(&b, stop, 1), (&changed, crate::support::options(1), 3)] {
        let programs =
            vec![Program::parse("a", &a, &none).await.unwrap(), Program::parse("b", b, &none).await.unwrap()];
        let store = CheckpointStore::local(folder.path()).unwrap();
        let handle = Pipeline::start(programs, &connectors, store, None, options).await.unwrap();
        let starts = handle.status().jobs.into_iter().map(|j| j.start).collect::<Vec<_>>();
        if opened == 3 {
            assert!(matches!(starts[0], JobStart::Resumed { .. }));
            assert_eq!(starts[1], JobStart::Fresh { changed: true });
        }
        handle.join().await.unwrap();
        // One reader for both while they are at the same place, two when they are not.
        assert_eq!(memory.opened.load(std::sync::atomic::Ordering::SeqCst), opened);
    }
    let numbers = |job: &str| {
        let mut n = memory.rows(job, job).iter().map(|r| r["n"].as_i64().unwrap()).collect::<Vec<_>>();
        n.sort_unstable();
        n
    };
    assert_eq!(numbers("a"), [0, 1, 2, 3, 4, 5]);
    // The old version wrote 2 before it was changed; the new one began at the start.
    assert_eq!(numbers("b"), [2, 3, 4, 5]);
}

#[tokio::test]
async fn an_idle_partition_holds_time_back_only_without_a_timeout() {
    let sql = format!(
        "{} CREATE TABLE sink (rows BIGINT) WITH (connector = 'memory', type = 'sink');
         INSERT INTO sink SELECT rows FROM (
           SELECT tumble(INTERVAL '1 second') AS window, count(*) AS rows FROM source GROUP BY window)",
        tables()
    );
    for (timeout, expected) in [(None, 0), (Some(std::time::Duration::from_millis(20)), 2)] {
        let program = Program::parse("job", &sql, &BTreeMap::new()).await.unwrap();
        let rows = batch(&program, &[(1000, None, None), (1001, None, None), (1007, None, None)]);
        let memory = Memory { unbounded: true, ..Memory::new(vec![vec![rows], vec![]]) };
        let connectors = Connectors::new().with("memory", Arc::new(memory.clone()));
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::local(folder.path()).unwrap();
        let options = PipelineOptions { idle_timeout: timeout, ..crate::support::options(2) };
        let handle = Pipeline::start(vec![program], &connectors, store, None, options).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        let summary = handle.stop_at_checkpoint().await.unwrap();
        assert_eq!(memory.rows("job", "sink").len(), expected, "{timeout:?}");
        assert_eq!(summary.sinks[0].watermark_ns > i64::MIN, expected > 0);
        assert!(handle.checkpoint().await.is_err());
    }
}

#[tokio::test]
async fn a_failing_source_is_told_not_lost() {
    let sql = format!(
        "{} CREATE TABLE sink (n BIGINT NOT NULL) WITH (connector = 'memory', type = 'sink');
         INSERT INTO sink SELECT n FROM source",
        tables()
    );
    let program = Program::parse("job", &sql, &BTreeMap::new()).await.unwrap();
    let rows = batch(&program, &[(1000, None, None)]);
    let connectors = Connectors::new().with("memory", Arc::new(Memory::new(vec![vec![rows]])));
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::local(folder.path()).unwrap();
    let handle =
        Pipeline::start(vec![program], &connectors, store, None, crate::support::options(1)).await.unwrap();
    assert!(handle.join().await.is_err());
    assert!(handle.status().failure.unwrap().contains("non-null"));
}
