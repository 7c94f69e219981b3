//! Checkpoints of earlier format versions still load: `tests/checkpoints/vN` was written by the program of that
//! version (with `CHECKPOINT_FIXTURE=FOLDER cargo test … write_a_fixture -- --ignored`), half-way through a job.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::support::memory::Memory;
use crate::support::{assert_same, json_rows};
use arrow::array::{Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use crave_flow::{CheckpointStore, Connectors, JobStart, Pipeline, PipelineOptions, Program};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

const SQL: &str = "
CREATE TABLE source (ts TIMESTAMP NOT NULL, who TEXT, n BIGINT, WATERMARK FOR ts AS ts - INTERVAL '5 seconds')
WITH (connector = 'memory', type = 'source');
CREATE TABLE sink (window_start TIMESTAMP, window_end TIMESTAMP, who TEXT, rows BIGINT, mean DOUBLE, kinds BIGINT)
WITH (connector = 'memory', type = 'sink');
INSERT INTO sink SELECT window.start, window.end, who, rows, mean, kinds FROM (
  SELECT hop(INTERVAL '10 seconds', INTERVAL '30 seconds') AS window, who, count(*) AS rows, avg(n) AS mean,
         count(DISTINCT n) AS kinds
  FROM source GROUP BY window, who);";

async fn program() -> Program {
    Program::parse("job", SQL, &BTreeMap::new()).await.unwrap()
}

fn data(program: &Program) -> Vec<RecordBatch> {
    let schema = program.sources().next().unwrap().physical.clone();
    let batch = |b: i64| {
        let rows = (0..20).map(|i| b * 20 + i).collect::<Vec<_>>();
        RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(TimestampNanosecondArray::from_iter_values(
                    rows.iter().map(|i| (1000 + i / 3) * 1_000_000_000),
                )),
                Arc::new(
                    rows.iter().map(|i| (i % 5 != 0).then(|| format!("w{}", i % 7))).collect::<StringArray>(),
                ),
                Arc::new(rows.iter().map(|i| (i % 4 != 0).then_some(i * i % 11)).collect::<Int64Array>()),
            ],
        )
        .unwrap()
    };
    (0..10).map(batch).collect()
}

fn options() -> PipelineOptions {
    PipelineOptions { checkpoint_interval: None, checkpoint_rows: Some(100), ..crate::support::options(2) }
}

async fn run(memory: &Memory, folder: &Path, options: PipelineOptions) -> JobStart {
    let connectors = Connectors::new().with("memory", Arc::new(memory.clone()));
    let store = CheckpointStore::local(folder).unwrap();
    let handle = Pipeline::start(vec![program().await], &connectors, store, None, options).await.unwrap();
    handle.join().await.unwrap();
    handle.status().jobs[0].start.clone()
}

#[tokio::test]
#[ignore = "writes the fixture of the current version"]
async fn write_a_fixture() {
    let folder = std::env::var("CHECKPOINT_FIXTURE").unwrap();
    let memory = Memory::new(vec![data(&program().await)]);
    run(&memory, Path::new(&folder), PipelineOptions { stop_at_first_checkpoint: true, ..options() }).await;
    let rows = memory.rows("job", "sink");
    std::fs::write(Path::new(&folder).join("rows.txt"), serde_json::to_string(&rows).unwrap()).unwrap();
}

#[tokio::test]
async fn checkpoints_of_earlier_versions_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints");
    for entry in std::fs::read_dir(root).unwrap() {
        let fixture = entry.unwrap().path();
        let folder = tempfile::tempdir().unwrap();
        let mut epoch = 0;
        for file in std::fs::read_dir(&fixture).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().to_string_lossy().into_owned();
            if let Some(number) = name.strip_prefix("checkpoint-") {
                epoch = number.trim_end_matches(".json").parse().unwrap();
            }
            if name != "rows.txt" {
                std::fs::copy(file.path(), folder.path().join(name)).unwrap();
            }
        }
        let batches = data(&program().await);
        let memory = Memory::new(vec![batches.clone()]);
        // What the old program committed before it stopped.
        memory.done.lock().unwrap().insert(("job.sink".into(), epoch));
        let start = run(&memory, folder.path(), options()).await;
        assert_eq!(start, JobStart::Resumed { epoch }, "{}", fixture.display());
        let before = std::fs::read_to_string(fixture.join("rows.txt")).unwrap();
        let mut rows: Vec<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_str(&before).unwrap();
        assert!(!rows.is_empty());
        rows.extend(memory.rows("job", "sink"));

        let context = SessionContext::new();
        let schema = batches[0].schema();
        context
            .register_table("source", Arc::new(MemTable::try_new(schema, vec![batches]).unwrap()))
            .unwrap();
        let mut frames = program().await.batch(&context).await.unwrap();
        let expected = json_rows(&frames.pop().unwrap().1.collect().await.unwrap());
        assert_same(&fixture.display().to_string(), &rows, &expected);
    }
}
