//! A folder through a job into a folder: whole, and stopped, half-committed and resumed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use super::*;
use crate::{CheckpointStore, Connectors, ErrorKind, Pipeline, PipelineOptions, Polled, Program, Result};

const ROWS: i64 = 9000;

fn sql(input: &str, output: &str) -> String {
    format!(
        "CREATE TABLE events (ts TIMESTAMP NOT NULL, n BIGINT NOT NULL, WATERMARK FOR ts AS ts - INTERVAL '1 day')
           WITH (connector = 'filesystem', path = '$input', format = '{input}', type = 'source');
         CREATE TABLE plain (ts TIMESTAMP, n BIGINT)
           WITH (connector = 'filesystem', path = '$output/plain', format = '{output}', type = 'sink');
         CREATE TABLE hours (start TIMESTAMP, n BIGINT)
           WITH (connector = 'filesystem', path = '$output/hours', format = '{output}', type = 'sink');
         INSERT INTO plain SELECT ts, n FROM events;
         INSERT INTO hours SELECT window.start, rows FROM (
           SELECT tumble(INTERVAL '1 hour') AS window, count(*) AS rows FROM events GROUP BY window)"
    )
}

/// Three files whose times overlap, an empty one, and what a reader must not see.
fn input(folder: &Path) {
    std::fs::create_dir_all(folder.join("deeper")).unwrap();
    for (file, name) in ["a.json", "b.ndjson", "deeper/c.jsonl"].into_iter().enumerate() {
        let mut text = String::new();
        for n in (0..ROWS).filter(|n| n % 3 == i64::try_from(file).unwrap()) {
            let minute = n / 10;
            let time =
                format!("2026-01-{:02}T{:02}:{:02}:00", 1 + minute / 1440, minute / 60 % 24, minute % 60);
            let _ = writeln!(text, "{{\"ts\":\"{time}\",\"n\":{n}}}");
        }
        std::fs::write(folder.join(name), text).unwrap();
    }
    std::fs::write(folder.join("empty.json"), "").unwrap();
    std::fs::write(folder.join(".hidden.json"), "nonsense").unwrap();
    std::fs::write(folder.join("_SUCCESS"), "nonsense").unwrap();
}

async fn run(sql: &str, from: &Path, to: &Path, options: PipelineOptions) -> Result<()> {
    let text = |p: &Path| p.display().to_string();
    let variables = BTreeMap::from([("input".to_owned(), text(from)), ("output".to_owned(), text(to))]);
    let program = Program::parse("job", sql, &variables).await?;
    let store = CheckpointStore::local(to.join("checkpoints"))?;
    Pipeline::start(vec![program], &Connectors::files(100), store, None, options).await?.join().await
}

fn options(parallelism: usize) -> PipelineOptions {
    PipelineOptions { parallelism, checkpoint_interval: None, ..PipelineOptions::default() }
}

/// All rows of a folder's second column.
async fn numbers(folder: &Path, format: &str) -> Vec<i64> {
    let sql = format!(
        "CREATE TABLE t (ts TIMESTAMP, start TIMESTAMP, n BIGINT)
           WITH (connector = 'filesystem', path = '{}', format = '{format}', type = 'source');
         CREATE TABLE o (n BIGINT) WITH (connector = 'blackhole', type = 'sink');
         INSERT INTO o SELECT n FROM t",
        folder.display()
    );
    let table = crate::parse::parse("test", &sql, &BTreeMap::new()).unwrap().tables.remove(0);
    let source = Filesystem::default().source(&table).await.unwrap();
    let mut all = Vec::new();
    for partition in 0..source.partitions() {
        let mut reader = source.open(partition, None).await.unwrap();
        while let Polled::Rows { batch, .. } = reader.next().await.unwrap() {
            let batch: RecordBatch = batch;
            all.extend(batch.column(2).as_primitive::<Int64Type>().values());
        }
    }
    all.sort_unstable();
    all
}

async fn assert_exact(folder: &Path, format: &str) {
    assert_eq!(numbers(&folder.join("plain"), format).await, (0..ROWS).collect::<Vec<_>>());
    assert_eq!(numbers(&folder.join("hours"), format).await, vec![600; 15]);
}

fn names(folder: &Path) -> Vec<String> {
    let mut names = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect::<Vec<_>>();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_read_and_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (json, parquet, again) =
        (folder.path().join("in"), folder.path().join("parquet"), folder.path().join("json"));
    input(&json);
    run(&sql("json", "parquet"), &json, &parquet, options(2)).await.unwrap();
    assert_exact(&parquet, "parquet").await;
    run(&sql("parquet", "json"), &parquet.join("plain"), &again, options(2)).await.unwrap();
    assert_exact(&again, "json").await;
    // Another run would mix its rows with these.
    std::fs::remove_dir_all(again.join("checkpoints")).unwrap();
    let error = run(&sql("parquet", "json"), &parquet.join("plain"), &again, options(2)).await.unwrap_err();
    assert!(error.to_string().contains("give an empty folder"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_written_once_whatever_was_left_behind() {
    for (from, to) in [("json", "parquet"), ("parquet", "json")] {
        let folder = tempfile::tempdir().unwrap();
        let (mut data, out) = (folder.path().join("in"), folder.path().join("out"));
        input(&data);
        if from == "parquet" {
            let parquet = folder.path().join("parquet");
            run(&sql("json", "parquet"), &data, &parquet, options(1)).await.unwrap();
            data = parquet.join("plain");
        }
        let sql = sql(from, to);
        let mut stop = options(2);
        (stop.checkpoint_rows, stop.stop_at_first_checkpoint) = (Some(500), true);
        for parallelism in [1, 2] {
            stop.parallelism = parallelism;
            run(&sql, &data, &out, stop.clone()).await.unwrap();
        }
        let plain = out.join("plain");
        let some = numbers(&plain, to).await.len();
        assert!(some > 0 && some < usize::try_from(ROWS).unwrap(), "{some} rows at the checkpoint");
        // As if killed between the checkpoint and the commit, with a later epoch on its way.
        let newest = names(&plain).pop().unwrap();
        let staged = format!(".{}.staged", newest.split('.').next().unwrap());
        std::fs::rename(plain.join(&newest), plain.join(&staged)).unwrap();
        std::fs::write(plain.join(".job-plain-00000000000000000099.staged"), "half").unwrap();
        std::fs::write(plain.join(".job-plain.part"), "half").unwrap();
        let mut on = options(3);
        on.checkpoint_rows = Some(2000);
        run(&sql, &data, &out, on).await.unwrap();
        assert_exact(&out, to).await;
        assert!(names(&plain).iter().all(|n| n.starts_with("job-plain-")), "{:?}", names(&plain));
        // Once more from the end.
        run(&sql, &data, &out, options(1)).await.unwrap();
        assert_exact(&out, to).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_changed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("in"), folder.path().join("out"));
    input(&data);
    let sql = sql("json", "json");
    let mut stop = options(2);
    (stop.checkpoint_rows, stop.stop_at_first_checkpoint) = (Some(500), true);
    run(&sql, &data, &out, stop).await.unwrap();
    std::fs::rename(data.join("a.json"), data.join("aa.json")).unwrap();
    let error = run(&sql, &data, &out, options(2)).await.unwrap_err();
    assert!(error.to_string().contains("another one than at the checkpoint"), "{error}");

    let nothing = folder.path().join("nothing");
    let error = run(&sql, &nothing, &folder.path().join("other"), options(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(".json, .ndjson, .jsonl"), "{error}");
    let bucket = sql.replace("$input", "s3://bucket/x");
    let error = run(&bucket, &data, &folder.path().join("other"), options(1)).await.unwrap_err();
    assert!(error.to_string().contains("run the job on Arroyo"), "{error}");
    let stray = sql.replace("path = '$input'", "path = '$input', rollover_seconds = '5'");
    let error = run(&stray, &data, &folder.path().join("other"), options(1)).await.unwrap_err();
    assert!(error.to_string().contains("rollover_seconds"), "{error}");
}
