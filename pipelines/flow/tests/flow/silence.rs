//! A source that falls silent: it holds others back until it counts as idle, also through the stages behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::memory::Memory;
use arrow::array::{Int64Array, RecordBatch, TimestampNanosecondArray};
use crave_flow::{CheckpointStore, Connectors, Pipeline, PipelineOptions, Program};

const SQL: &str = "
CREATE TABLE live (ts TIMESTAMP NOT NULL, n BIGINT, WATERMARK FOR ts) WITH (connector = 'live', type = 'source');
CREATE TABLE silent (ts TIMESTAMP NOT NULL, n BIGINT, WATERMARK FOR ts) WITH (connector = 'silent', type = 'source');
CREATE TABLE sink (n BIGINT, rows BIGINT, others BIGINT) WITH (connector = 'live', type = 'sink');
INSERT INTO sink SELECT a.n, a.rows, b.rows FROM
  (SELECT tumble(INTERVAL '1 second') AS window, n, count(*) AS rows FROM live GROUP BY window, n) a
  LEFT JOIN (SELECT tumble(INTERVAL '1 second') AS window, n, count(*) AS rows FROM silent GROUP BY window, n) b
  ON a.window = b.window AND a.n = b.n;";

#[tokio::test]
async fn a_join_does_not_wait_for_an_idle_side() {
    for (timeout, expected) in [(None, 0), (Some(Duration::from_millis(20)), 2)] {
        let program = Program::parse("job", SQL, &BTreeMap::new()).await.unwrap();
        let schema = program.sources().next().unwrap().physical.clone();
        let at =
            TimestampNanosecondArray::from(vec![1_000_000_000, 1_200_000_000, 2_000_000_000, 9_000_000_000]);
        let n = Int64Array::from(vec![7, 7, 8, 9]);
        let rows = RecordBatch::try_new(schema, vec![Arc::new(at), Arc::new(n)]).unwrap();
        let live = Memory { unbounded: true, ..Memory::new(vec![vec![rows]]) };
        let silent = Memory { unbounded: true, ..Memory::new(vec![vec![]]) };
        let connectors =
            Connectors::new().with("live", Arc::new(live.clone())).with("silent", Arc::new(silent));
        let folder = tempfile::tempdir().unwrap();
        let store = CheckpointStore::local(folder.path()).unwrap();
        let options = PipelineOptions { idle_timeout: timeout, ..crate::support::options(2) };
        let handle = Pipeline::start(vec![program], &connectors, store, None, options).await.unwrap();
        // Rows reach the sink as soon as the silent side no longer counts; where it does, wait for what must not come.
        let view = handle.view();
        let wait = Duration::from_millis(if timeout.is_some() { 30_000 } else { 250 });
        let until = Instant::now() + wait;
        while Instant::now() < until && view.status().jobs[0].nodes.last().unwrap().rows_in < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        handle.stop_at_checkpoint().await.unwrap();
        let rows = live.rows("job", "sink");
        assert_eq!(rows.len(), expected, "{timeout:?}: {rows:?}");
        assert!(rows.iter().all(|r| !r.contains_key("others")));
    }
}
