//! Runs programs in tests: over files, whole or stopped and resumed, and as a batch.

pub(crate) mod memory;
pub(crate) mod repair;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use crave_flow::{
    CheckpointStore, Connectors, EpochObserver, Pipeline, PipelineOptions, Program, SingleFile,
};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use serde_json::{Map, Value};

/// `../shared/cases` beside the repository, where it is there.
pub(crate) fn shared_cases() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is not here", path.display());
    None
}

/// A program over files.
pub(crate) struct Case {
    pub(crate) sql: String,
    pub(crate) input: PathBuf,
    pub(crate) expected: PathBuf,
    pub(crate) observer: Arc<memory::Remember>,
    folder: tempfile::TempDir,
}

impl Case {
    pub(crate) fn new(folder: &Path, input: &Path) -> Self {
        Self {
            sql: std::fs::read_to_string(folder.join("query.sql")).unwrap(),
            input: input.to_owned(),
            expected: folder.join("expected.json"),
            observer: Arc::default(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("output.json")
    }

    pub(crate) async fn program(&self) -> crave_flow::Result<Program> {
        let text = |p: &Path| p.display().to_string();
        let variables = BTreeMap::from([
            ("input_dir".to_owned(), text(&self.input)),
            ("output_path".to_owned(), text(&self.output())),
        ]);
        Program::parse("case", &self.sql, &variables).await
    }

    /// Runs it from the last checkpoint (if any) with these options to wherever they end it.
    pub(crate) async fn run(&self, options: PipelineOptions) {
        let program = self.program().await.unwrap();
        let store = CheckpointStore::local(self.folder.path().join("checkpoints")).unwrap();
        let connectors = Connectors::built_in().with("single_file", Arc::new(SingleFile { batch_rows: 256 }));
        let observer = Arc::clone(&self.observer) as Arc<dyn EpochObserver>;
        let handle =
            Pipeline::start(vec![program], &connectors, store, Some(observer), options).await.unwrap();
        handle.join().await.unwrap();
        let status = handle.status();
        assert_eq!((status.finished, status.failure), (true, None));
    }

    /// How many lines it has written.
    pub(crate) fn written(&self) -> usize {
        std::fs::read_to_string(self.output()).unwrap().lines().count()
    }

    /// What it has written; of an updating query the rows that its changes leave.
    pub(crate) fn rows(&self) -> Vec<Map<String, Value>> {
        self.folded(rows_of(&std::fs::read_to_string(self.output()).unwrap()))
    }

    /// What it has written, with the dirty windows as the batch has them; only a case marked `--late` has any.
    pub(crate) async fn repaired(&self) -> Vec<Map<String, Value>> {
        let dirty = self.observer.dirty("output");
        assert_eq!(!dirty.is_empty(), self.sql.contains("\n--late\n"), "{}", self.sql);
        let output = self.program().await.unwrap().outputs()[0].clone();
        repair::repaired(&output, self.rows(), &dirty, &self.expected())
    }

    pub(crate) fn expected(&self) -> Vec<Map<String, Value>> {
        self.folded(rows_of(&std::fs::read_to_string(&self.expected).unwrap()))
    }

    /// Folds Debezium changes by the columns of the line `--pk=…`, if the query has one.
    fn folded(&self, rows: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
        let pk = self.sql.lines().find_map(|line| line.trim().strip_prefix("--pk="));
        let Some(pk) = pk else { return rows };
        fold(&rows, &pk.split(',').map(str::trim).collect::<Vec<_>>())
    }

    pub(crate) async fn batch(&self) -> Vec<Map<String, Value>> {
        let program = self.program().await.unwrap();
        let context = SessionContext::new();
        for source in program.sources() {
            let file = BufReader::new(File::open(source.option("path").unwrap()).unwrap());
            let reader = arrow::json::ReaderBuilder::new(source.physical.clone()).build(file).unwrap();
            let batches = reader.collect::<Result<Vec<_>, _>>().unwrap();
            let table = MemTable::try_new(source.physical.clone(), vec![batches]).unwrap();
            context.register_table(source.name.as_str(), Arc::new(table)).unwrap();
        }
        let mut rows = Vec::new();
        for (table, frame) in program.batch(&context).await.unwrap() {
            let batches = frame.collect().await.unwrap();
            if let Some(batch) = batches.first() {
                assert_eq!(batch.schema().fields().len(), table.physical.fields().len());
            }
            rows.extend(json_rows(&batches));
        }
        rows
    }
}

/// The rows that Debezium changes leave; a change that does not fit what was there before fails.
pub(crate) fn fold(changes: &[Map<String, Value>], pk: &[&str]) -> Vec<Map<String, Value>> {
    let mut rows: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let key = |row: &Map<String, Value>| {
        let of = |c: &&str| row.get(*c).map(Value::to_string).unwrap_or_default();
        pk.iter().map(of).collect::<Vec<_>>().join(",")
    };
    for change in changes {
        let side = |name: &str| change.get(name).and_then(Value::as_object).cloned();
        let (before, after) = (side("before"), side("after"));
        let wanted = match change["op"].as_str().unwrap() {
            "c" => (false, true),
            "d" => (true, false),
            _ => (true, true),
        };
        assert_eq!((before.is_some(), after.is_some()), wanted, "{change:?}");
        if let Some(before) = before {
            assert_eq!(
                rows.remove(&key(&before)).as_ref(),
                Some(&before),
                "{change:?} takes back what is not there"
            );
        }
        if let Some(after) = after {
            assert_eq!(rows.insert(key(&after), after.clone()), None, "{change:?} comes twice");
        }
    }
    rows.into_values().collect()
}

pub(crate) fn options(parallelism: usize) -> PipelineOptions {
    PipelineOptions { parallelism, checkpoint_interval: None, ..PipelineOptions::default() }
}

pub(crate) fn json_rows(batches: &[RecordBatch]) -> Vec<Map<String, Value>> {
    let mut text = Vec::new();
    for batch in batches {
        let mut writer = WriterBuilder::new().build::<_, LineDelimited>(&mut text);
        writer.write(batch).unwrap();
        writer.finish().unwrap();
    }
    rows_of(std::str::from_utf8(&text).unwrap())
}

fn rows_of(text: &str) -> Vec<Map<String, Value>> {
    text.lines().filter(|l| !l.is_empty()).map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Times as instants, NULL as absent.
fn normal(row: &Map<String, Value>) -> BTreeMap<String, Value> {
    let instant = |text: &str| {
        let text = text.trim_end_matches('Z');
        let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
        Some(Value::from(time.and_utc().timestamp_nanos_opt()?))
    };
    let value = |v: &Value| v.as_str().and_then(instant).unwrap_or_else(|| v.clone());
    row.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), value(v))).collect()
}

/// Text to sort by: floats last and rounded, so that a difference in the last digits does not change the order.
fn sort_key(row: &BTreeMap<String, Value>) -> String {
    let (mut exact, mut floats) = (String::new(), String::new());
    for (name, value) in row {
        match value.as_f64().filter(|_| value.is_f64()) {
            Some(v) => floats.push_str(&format!(" {name}={v:.6e}")),
            None => exact.push_str(&format!(" {name}={value}")),
        }
    }
    exact + &floats
}

fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) if a.is_f64() || b.is_f64() => (x - y).abs() <= 1e-9 * x.abs().max(y.abs()),
        _ => a == b,
    }
}

/// Compares two sets of rows as ../shared/cases/README.md says.
pub(crate) fn assert_same(what: &str, got: &[Map<String, Value>], expected: &[Map<String, Value>]) {
    let sorted = |rows: &[Map<String, Value>]| {
        let mut rows = rows.iter().map(normal).collect::<Vec<_>>();
        rows.sort_by_cached_key(sort_key);
        rows
    };
    let (got, expected) = (sorted(got), sorted(expected));
    for (g, e) in got.iter().zip(&expected) {
        let equal = g.len() == e.len() && g.iter().all(|(k, v)| e.get(k).is_some_and(|w| same(v, w)));
        assert!(equal, "{what}: got {g:?}, expected {e:?}");
    }
    assert_eq!(got.len(), expected.len(), "{what}: number of rows");
}
