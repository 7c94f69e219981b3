//! What is told of a running job: its nodes, what has passed through them, and which one holds the others back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::support::memory::Memory;
use arrow::array::{Int64Array, RecordBatch, TimestampNanosecondArray};
use async_trait::async_trait;
use crave_flow::{
    CheckpointStore, Connector, Connectors, JobStatus, NodeKind, Pipeline, PipelineOptions, Program, Result,
    Sink, SinkContext, Source, TableDef,
};

const SQL: &str = "
CREATE TABLE source (ts TIMESTAMP NOT NULL, n BIGINT, WATERMARK FOR ts) WITH (connector = 'memory', type = 'source');
CREATE TABLE sink (n BIGINT, rows BIGINT) WITH (connector = 'out', type = 'sink');
INSERT INTO sink SELECT n, rows FROM (
  SELECT tumble(INTERVAL '1 second') AS window, n, count(*) AS rows FROM source WHERE n < 3 GROUP BY window, n);";

async fn program(sql: &str) -> Program {
    Program::parse("job", sql, &BTreeMap::new()).await.unwrap()
}

/// Rows of 100 ms apart, `n` from 0 to 3; each batch ends with one that is five seconds late.
fn rows(program: &Program, batches: i64) -> Vec<RecordBatch> {
    let schema = program.sources().next().unwrap().physical.clone();
    let batch = |b: i64| {
        let late = |i: i64| if i == 9 { 5_000_000_000 } else { 0 };
        let at = (0..10).map(|i| (100 + b) * 1_000_000_000 + i * 100_000_000 - late(i));
        let n = (0..10).map(|i| if i == 9 { 1 } else { i % 4 });
        let columns: (TimestampNanosecondArray, Int64Array) =
            (TimestampNanosecondArray::from_iter_values(at), n.map(Some).collect());
        RecordBatch::try_new(schema.clone(), vec![Arc::new(columns.0), Arc::new(columns.1)]).unwrap()
    };
    (0..batches).map(batch).collect()
}

async fn run(sql: &str, memory: Memory, out: Arc<dyn Connector>, options: PipelineOptions) -> JobStatus {
    let rows = memory.partitions.iter().flatten().map(|b| b.num_rows() as u64).sum();
    let connectors = Connectors::new().with("memory", Arc::new(memory)).with("out", out);
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::local(folder.path()).unwrap();
    let handle = Pipeline::start(vec![program(sql).await], &connectors, store, None, options).await.unwrap();
    let view = handle.view();
    while view.status().jobs[0].rows_in < rows {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    handle.checkpoint().await.unwrap();
    assert!(view.status().checkpoint_at_ms.is_some_and(|at| at > 0) && !view.status().finished);
    handle.stop_at_checkpoint().await.unwrap();
    assert!(view.status().finished, "a view outlives what it looks at");
    drop(handle);
    view.status().jobs.remove(0)
}

#[tokio::test]
async fn each_node_tells_what_passed_through_it() {
    let batches = rows(&program(SQL).await, 4);
    let memory =
        Memory { unbounded: true, ..Memory::new(vec![batches[..3].to_vec(), batches[3..].to_vec()]) };
    let options = crate::support::options(2);
    let job = run(SQL, memory.clone(), Arc::new(memory.clone()), options).await;
    let node = |at: usize| &job.nodes[at];
    let kinds: Vec<_> = job.nodes.iter().map(|n| (n.kind, n.name.as_str(), n.inputs.as_slice())).collect();
    assert_eq!(
        kinds,
        [
            (NodeKind::Source, "source", &[][..]),
            (NodeKind::Stage, "tumble(1 second)", &[0][..]),
            (NodeKind::Sink, "sink", &[1][..])
        ]
    );
    assert_eq!(
        (node(1).detail.as_str(), node(1).sources.as_slice()),
        ("count(*) by n", &["source".to_owned()][..])
    );
    assert_eq!(job.nodes.iter().map(|n| n.tasks).collect::<Vec<_>>(), [2, 2, 1]);
    // 40 rows are read; two in ten have n = 3 and go no further.
    assert_eq!((node(0).rows_in, node(0).rows_out, node(1).rows_in), (40, 32, 32));
    assert_eq!((job.rows_in, job.rows_out), (40, node(2).rows_in));
    assert_eq!(node(1).rows_out, node(2).rows_in);
    assert!(job.late_rows >= 2 && job.late_rows == node(1).late_rows, "{job:?}");
    let watermarks: Vec<_> = job.nodes.iter().map(|n| n.watermark_ns / 1_000_000).collect();
    assert_eq!(watermarks, [102_800; 3], "the slower partition's");
    assert!(node(1).state_rows > 0 && node(1).state_bytes > 0);
}

/// Takes its time with each batch.
struct Slow(Memory);

struct SlowSink(Box<dyn Sink>);

#[async_trait]
impl Connector for Slow {
    async fn source(&self, table: &TableDef) -> Result<Box<dyn Source>> {
        self.0.source(table).await
    }

    async fn sink(&self, table: &TableDef, context: &SinkContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(SlowSink(self.0.sink(table, context).await?)))
    }
}

#[async_trait]
impl Sink for SlowSink {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.0.write(batch).await
    }

    async fn stage(&mut self, epoch: u64) -> Result<serde_json::Value> {
        self.0.stage(epoch).await
    }

    async fn commit(&mut self, epoch: u64, staged: &serde_json::Value) -> Result<()> {
        self.0.commit(epoch, staged).await
    }
}

#[tokio::test]
async fn a_node_before_a_slow_one_waits() {
    const PLAIN: &str = "
    CREATE TABLE source (ts TIMESTAMP NOT NULL, n BIGINT, WATERMARK FOR ts) WITH (connector = 'memory', type = 'source');
    CREATE TABLE sink (n BIGINT) WITH (connector = 'out', type = 'sink');
    INSERT INTO sink SELECT n FROM source;";
    let batches = rows(&program(PLAIN).await, 30);
    let options = PipelineOptions { channel_batches: 2, ..crate::support::options(1) };
    let mut waited = Vec::new();
    for slow in [false, true] {
        let memory = Memory { unbounded: true, ..Memory::new(vec![batches.clone()]) };
        let out: Arc<dyn Connector> =
            if slow { Arc::new(Slow(memory.clone())) } else { Arc::new(memory.clone()) };
        waited.push(run(PLAIN, memory, out, options.clone()).await.nodes[0].waited_ms);
    }
    assert!(waited[1] >= 20 && waited[1] > 2 * waited[0], "{waited:?}");
}
