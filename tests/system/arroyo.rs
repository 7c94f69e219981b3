//! Both engines side by side, where `ARROYO_URL` names a cluster: the same programs over the same input, files and a
//! Delta table, give the same rows (FL-2).
//!
//! The cluster's workers must see `ARROYO_DIR` (this machine's temporary folder when it is not set) under the same path.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use crave_arroyo::{
    Client, Job, Level, Places, Udf, Wanted, Watch, decide, delete, deploy, finish, observe, portable,
    translate, validate,
};
use crave_flow::{CheckpointStore, Connectors, EpochObserver, Pipeline, PipelineOptions, Program};
use crave_tables::{DeltaConnector, Dirty, Observer, Table, Tables, stored_schema};
use serde_json::Value;

use crate::support::{crave, objects};

/// An hour of a person a row, through two of our functions, into a Delta table.
const HOURLY: &str = "
CREATE TABLE cravings (
  ts TIMESTAMP NOT NULL,
  user_id TEXT NOT NULL,
  intensity BIGINT NOT NULL,
  tz_offset_min BIGINT NOT NULL,
  WATERMARK FOR ts AS ts - INTERVAL '2 minutes'
) WITH (connector = 'single_file', path = '$input_dir/cravings.json', format = 'json', type = 'source');

CREATE TABLE hourly (
  start TIMESTAMP(6) NOT NULL,
  user_id TEXT NOT NULL,
  local_date TEXT NOT NULL,
  part TEXT NOT NULL,
  n BIGINT NOT NULL,
  sum_intensity BIGINT NOT NULL
) WITH (connector = 'delta', path = '$lake/hourly', type = 'sink');

CREATE VIEW local AS
SELECT user_id, intensity, local_date(ts, tz_offset_min, NULL) AS local_date,
       day_part(local_hour(ts, tz_offset_min, NULL)) AS part
FROM cravings;

INSERT INTO hourly
SELECT CAST(window.start AS TIMESTAMP(6)), user_id, local_date, part, n, sum_intensity
FROM (
  SELECT tumble(INTERVAL '1 hour') AS window, user_id, local_date, part, count(*) AS n, sum(intensity) AS sum_intensity
  FROM local GROUP BY window, user_id, local_date, part);
";

fn cases() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/cases"))
}

/// Runs a program to its end on the cluster.
async fn on_arroyo(client: &Client, name: &str, sql: &str, variables: &BTreeMap<String, String>) {
    let stops: Vec<_> = portable(name, sql).into_iter().filter(|f| f.level == Level::Stops).collect();
    assert_eq!(stops, []);
    let places = Places { variables: variables.clone(), ..Places::default() };
    let pipeline = format!("crave.e2e.{}.{name}", std::process::id());
    let job =
        Job { name: name.into(), pipeline: pipeline.clone(), sql: translate(name, sql, &places).unwrap() };
    let udfs = crave_udfs::arroyo_udfs()
        .into_iter()
        .map(|u| Udf { name: u.name.into(), source: u.source })
        .collect();
    let checkpoint_interval = Duration::from_secs(10);
    let wanted = Wanted { jobs: vec![job], udfs, parallelism: 1, checkpoint_interval, replace: false };
    let watch = Watch { limit: Duration::from_secs(600), ..Watch::default() };
    let facts = observe(client, &|name| name == pipeline).await.unwrap();
    validate(client, &wanted).await.unwrap();
    deploy(client, &decide(&wanted, &facts), &wanted, watch, &mut |told| println!("{told:?}")).await.unwrap();
    finish(client, &pipeline, watch, &mut |told| println!("{told:?}")).await.unwrap();
    delete(client, &pipeline).await.unwrap();
}

/// Runs a program to its end on `flow`, its tables in `lake`.
async fn on_flow(home: &Path, name: &str, sql: &str, variables: &BTreeMap<String, String>) {
    let program = Box::pin(Program::parse(name, sql, variables)).await.unwrap();
    let tables = Arc::new(Tables::new(&home.join("lake")));
    let decided = Arc::new(AtomicU64::new(0));
    let dirty = Arc::new(Dirty::open(&home.join("dirty")).unwrap());
    let observer = Arc::new(Observer::new(Arc::clone(&tables), dirty, Arc::clone(&decided)));
    let connectors = Connectors::built_in().with("delta", Arc::new(DeltaConnector { tables, decided }));
    let store = CheckpointStore::local(home.join("checkpoints").join(name)).unwrap();
    let observer = Some(observer as Arc<dyn EpochObserver>);
    let options = PipelineOptions { parallelism: 2, checkpoint_interval: None, ..PipelineOptions::default() };
    let pipeline =
        Box::pin(Pipeline::start(vec![program], &connectors, store, observer, options)).await.unwrap();
    pipeline.join().await.unwrap();
}

/// Rows as sorted texts: times without their zone, floats to nine digits, NULL as absent.
fn normal(rows: &[Value]) -> Vec<String> {
    let value = |v: &Value| match v {
        Value::Number(n) if n.is_f64() => format!("{:.8e}", n.as_f64().unwrap()),
        Value::String(text) => text.trim_end_matches('Z').trim_end_matches(".000000").to_owned(),
        other => other.to_string(),
    };
    let row = |row: &Value| {
        let fields: BTreeMap<_, _> = row.as_object().unwrap().iter().filter(|(_, v)| !v.is_null()).collect();
        fields.into_iter().map(|(name, v)| format!("{name}={} ", value(v))).collect::<String>()
    };
    let mut rows: Vec<String> = rows.iter().map(row).collect();
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_give_the_same_rows() {
    let Ok(url) = std::env::var("ARROYO_URL") else {
        println!("skipped: ARROYO_URL names no cluster, such as http://127.0.0.1:5115");
        return;
    };
    let cases = cases();
    assert!(cases.is_dir(), "{} is not there", cases.display());
    let token = std::env::var("ARROYO_API_TOKEN").ok();
    let client = Client::new(&url, token.as_deref()).unwrap();
    let shared = std::env::var("ARROYO_DIR").map_or_else(|_| std::env::temp_dir(), PathBuf::from);
    let folder = tempfile::tempdir_in(shared).unwrap();
    let inputs = folder.path().join("inputs");
    std::fs::create_dir(&inputs).unwrap();
    for entry in std::fs::read_dir(cases.join("inputs")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, inputs.join(path.file_name().unwrap())).unwrap();
    }
    let text = |path: &Path| path.display().to_string();

    // A file: Arroyo's rows are flow's, and both are the case's.
    let sql = std::fs::read_to_string(cases.join("tumble_hour_by_user/query.sql")).unwrap();
    let variables = |output: &Path| {
        BTreeMap::from([("input_dir".into(), text(&inputs)), ("output_path".into(), text(output))])
    };
    let (theirs, ours) = (folder.path().join("theirs.json"), folder.path().join("ours.json"));
    on_arroyo(&client, "rows", &sql, &variables(&theirs)).await;
    let home = folder.path().join("flow");
    on_flow(&home, "rows", &sql, &variables(&ours)).await;
    let rows = |path: &Path| normal(&objects(&std::fs::read_to_string(path).unwrap()));
    assert_eq!(rows(&theirs), rows(&ours));
    assert_eq!(rows(&ours), rows(&cases.join("tumble_hour_by_user/expected.json")));

    // A table, made by us before, as `crave deploy` does it.
    let arroyos = folder.path().join("arroyo");
    let of = |lake: String| BTreeMap::from([("input_dir".into(), text(&inputs)), ("lake".into(), lake)]);
    let program = Box::pin(Program::parse("hourly", HOURLY, &of("file:///lake".into()))).await.unwrap();
    let table = &program.outputs()[0].table;
    let schema = stored_schema(&table.physical);
    Box::pin(Table::open("hourly", &arroyos.join("lake/hourly"), schema)).await.unwrap();
    on_arroyo(&client, "hourly", HOURLY, &of(format!("file://{}", text(&arroyos.join("lake"))))).await;
    on_flow(&home, "hourly", HOURLY, &of(text(&home.join("lake")))).await;
    let table = |home: &Path| {
        let (code, out) = crave(home, &["--json", "sql", "SELECT * FROM hourly"]);
        assert_eq!(code, 0);
        normal(&objects(&out))
    };
    let expected = table(&home);
    assert!(expected.len() > 100, "only {} rows", expected.len());
    assert_eq!(table(&arroyos), expected);
}

/// The half that needs no cluster: the program of the test above is portable and runs on `flow`.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_of_both_engines_runs_here() {
    let cases = cases();
    if !cases.is_dir() {
        println!("skipped: {} is not there", cases.display());
        return;
    }
    let stops: Vec<_> = portable("hourly", HOURLY).into_iter().filter(|f| f.level == Level::Stops).collect();
    assert_eq!(stops, []);
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake").display().to_string();
    let inputs = cases.join("inputs").display().to_string();
    let variables = BTreeMap::from([("input_dir".into(), inputs), ("lake".into(), lake)]);
    on_flow(folder.path(), "hourly", HOURLY, &variables).await;
    let (code, out) = crave(folder.path(), &["--json", "sql", "SELECT sum(n) AS n FROM hourly"]);
    let whole = std::fs::read_to_string(cases.join("tumble_hour_by_user/expected.json")).unwrap();
    let whole: i64 = objects(&whole).iter().map(|row| row["rows"].as_i64().unwrap()).sum();
    assert_eq!((code, objects(&out)[0]["n"].as_i64()), (0, Some(whole)), "{out}");
}

/// The command's contract without a cluster: 0 when the jobs are portable, 1 when nobody answers.
#[test]
fn the_command_without_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out) = crave(folder.path(), &["--json", "deploy", "--dry-run", "--arroyo", ""]);
    assert_eq!(code, 0);
    assert!(objects(&out)[0]["portable"].as_array().unwrap().len() >= 8, "{out}");
    // Port 1 answers nobody.
    let (code, _) = crave(folder.path(), &["deploy", "--status", "--arroyo", "http://127.0.0.1:1"]);
    assert_eq!(code, 1);
    let (code, _) = crave(folder.path(), &["deploy", "--only", "nothing"]);
    assert_eq!(code, 1);
}
