//! Every file in sql/jobs parses and plans, and all of them run together over one read of the events.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::support::memory::Memory;
use crate::support::{assert_same, json_rows};
use arrow::json::ReaderBuilder;
use crave_flow::{CheckpointStore, Connectors, Pipeline, PipelineOptions, Program, TableKind, WindowKind};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use serde_json::json;

const DAY_NS: i64 = 86_400_000_000_000;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sql/jobs");
    let mut files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    files.retain(|f| f.extension().is_some_and(|e| e == "sql"));
    files.sort();
    files
}

async fn programs() -> Vec<Program> {
    let variables = BTreeMap::from([("lake".to_owned(), "/lake".to_owned())]);
    let mut programs = Vec::new();
    for file in files() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let sql = std::fs::read_to_string(&file).unwrap();
        programs.push(Program::parse(&name, &sql, &variables).await.unwrap());
    }
    programs
}

#[tokio::test]
async fn every_job_plans_and_names_its_rows() {
    let programs = programs().await;
    let hop = WindowKind::Hop { slide_ns: DAY_NS, width_ns: 30 * DAY_NS };
    let table = [
        ("recency", Some(hop), vec!["user_id", "craving"]),
        (
            "daily_parts",
            Some(WindowKind::Tumble { width_ns: DAY_NS }),
            vec!["user_id", "local_date", "kind", "craving"],
        ),
        ("trend_parts", Some(WindowKind::Tumble { width_ns: 30 * DAY_NS }), vec!["user_id", "craving"]),
        ("cravings", None, vec![]),
        ("events", None, vec![]),
        ("memories", None, vec![]),
    ];
    for (name, windows, keys) in table {
        let program = programs.iter().find(|p| p.name() == name).unwrap_or_else(|| panic!("no {name}.sql"));
        let output = &program.outputs()[0];
        assert_eq!(output.windows, windows, "{name}");
        assert_eq!(output.keys.iter().map(|k| k.column.as_str()).collect::<Vec<_>>(), keys, "{name}");
        assert_eq!(output.table.kind, TableKind::Sink);
        if windows.is_some() {
            assert_eq!(output.window_start.as_deref(), Some("window_start"), "{name}");
            assert_eq!(output.window_end.as_deref(), Some("window_end"), "{name}");
        }
    }
    let mut sources = programs.iter().flat_map(|p| p.sources().map(crave_flow::TableDef::source_key));
    let first = sources.next().unwrap();
    assert!(sources.all(|s| s == first), "the jobs do not declare the same source");
}

fn events() -> String {
    let mut text = String::new();
    for i in 0..2000_i64 {
        let at = chrono::DateTime::from_timestamp(1_767_225_600 + i * 3011, 0).unwrap();
        let (kind, payload) = match i % 8 {
            0..=2 => (
                "craving",
                json!({"craving": if i % 2 == 0 { "sugar" } else { "nicotine" }, "intensity": i % 11,
                       "trigger": "stress", "note": if i % 5 == 0 { json!("late again") } else { json!(null) }, "resisted": i % 3 == 0}),
            ),
            3 => ("hrv_sdnn_ms", json!({"value": 40.5 + (i % 17) as f64})),
            4 => ("journal", json!({"text": "slept well"})),
            5 => (
                "sleep",
                json!({"stages": [{"stage": "core", "duration_s": 3600}, {"stage": "awake", "duration_s": 60}]}),
            ),
            6 => ("retract", json!({"target": "x"})),
            _ => ("heartbeat", json!({})),
        };
        let beat = kind == "heartbeat";
        let tz = match i % 3 {
            0 => json!("Europe/Berlin"),
            1 => json!("Pacific/Auckland"),
            _ => json!(null),
        };
        let event = json!({
            "event_id": if beat { String::new() } else { format!("e{i}") },
            "user_id": if beat { String::new() } else { format!("u{}", i % 7) },
            "kind": kind, "event_time": at.to_rfc3339(), "tz_offset_min": if i % 4 == 0 { json!(null) } else { json!(60) },
            "tz": tz, "received_at": at.to_rfc3339(), "schema_version": 1, "payload": payload.to_string(),
        });
        text.push_str(&event.to_string());
        text.push('\n');
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_jobs_run_together_and_equal_their_batch() {
    let programs = programs().await;
    let schema = programs[0].sources().next().unwrap().physical.clone();
    let text = events();
    let reader = ReaderBuilder::new(schema.clone()).with_batch_size(100).build(text.as_bytes()).unwrap();
    let batches = reader.collect::<Result<Vec<_>, _>>().unwrap();
    // By user, as the log is partitioned; heartbeats keep time in both.
    let memory = Memory::new(vec![batches.clone(), vec![]]);
    let connectors =
        Connectors::new().with("log", Arc::new(memory.clone())).with("delta", Arc::new(memory.clone()));
    let folder = tempfile::tempdir().unwrap();
    let store = CheckpointStore::local(folder.path()).unwrap();
    let options = PipelineOptions {
        parallelism: 2,
        checkpoint_rows: Some(700),
        checkpoint_interval: None,
        ..PipelineOptions::default()
    };
    let names = programs.iter().map(|p| p.name().to_owned()).collect::<Vec<_>>();
    let handle = Pipeline::start(programs, &connectors, store, None, options).await.unwrap();
    handle.join().await.unwrap();
    assert_eq!(memory.opened.load(Ordering::SeqCst), 2, "one reader a partition for all jobs");
    for job in handle.status().jobs {
        assert_eq!((job.rows_in, job.late_rows), (2000, 0), "{}", job.job);
    }

    let context = SessionContext::new();
    context.register_table("events", Arc::new(MemTable::try_new(schema, vec![batches]).unwrap())).unwrap();
    for (program, name) in self::programs().await.iter().zip(names) {
        for (table, frame) in program.batch(&context).await.unwrap() {
            let expected = json_rows(&frame.collect().await.unwrap());
            if !matches!(name.as_str(), "corrections") {
                assert!(!expected.is_empty(), "{name} writes nothing");
            }
            assert_same(&name, &memory.rows(&name, &table.name), &expected);
        }
    }
    let markers = memory.rows("markers", "memories");
    let text = markers[0]["text"].as_str().unwrap();
    assert!(text.contains("cravings") && text.contains("(n = "), "{text}");
    println!("{text}");
}
