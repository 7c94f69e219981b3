//! Memories are found: the pipeline beside its single retrievers, and `crave search` with and without a server.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;

use crate::support::{Server, binary, crave};

/// The models that tests share; fetched on first use.
pub(crate) fn models() -> String {
    let folder = std::env::var("CRAVE_MODELS")
        .unwrap_or_else(|_| format!("{}/.cache/crave-wave/models", std::env::var("HOME").unwrap()));
    if !Path::new(&folder).join("all-MiniLM-L6-v2").exists() {
        let scratch = tempfile::tempdir().unwrap();
        let home = scratch.path();
        let mut pull = binary();
        pull.arg("--home").arg(home).args(["models", "pull", "--hub", "none"]).env("CRAVE_MODELS", &folder);
        assert!(pull.status().unwrap().success());
    }
    folder
}

/// Runs the binary with the embedding model and reads its JSON.
pub(crate) fn json_with_model(home: &Path, args: &[&str]) -> Value {
    let mut command = binary();
    command.arg("--home").arg(home).arg("--json").args(args).env("CRAVE_MODELS", models());
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{args:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_whole_pipeline_is_ahead_of_each_retriever() {
    let home = tempfile::tempdir().unwrap();
    let dataset = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/recall.json");
    let only = "dense,bm25,dense_in_context,bm25_in_context,full,without_neighbours";
    let report = json_with_model(
        home.path(),
        &["bench", "recall", "--dataset", dataset.to_str().unwrap(), "--only", only],
    );
    println!("{report:#}");
    assert_eq!((report["questions"].as_u64(), report["unusable_questions"].as_u64()), (Some(40), Some(0)));
    let ahead = report["full_ahead_of_best_single_at_5"].as_f64().unwrap();
    assert!(ahead >= 0.1, "ahead by {ahead} of recall@5");
    for run in report["runs"].as_array().unwrap() {
        let at = |k: u8| run[format!("recall_at_{k}")].as_f64().unwrap();
        assert!(at(1) <= at(5) && at(5) <= at(10) && at(10) <= 1.0, "{run}");
        assert!(run["p50_ms"].as_f64().unwrap() <= run["p99_ms"].as_f64().unwrap(), "{run}");
        assert_eq!(run["by_category"].as_object().unwrap().len(), 4, "{run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn search_says_why_with_and_without_a_server() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    assert_eq!(crave(home, &["simulate", "--users", "1", "--days", "40", "--seed", "7"]).0, 0);
    let user = "sim-0001-night-sugar";
    let search = |rest: &[&str]| {
        let mut args = vec!["search", "--user", user, "what made me want sweets at night?"];
        args.extend(rest);
        json_with_model(home, &args)["hits"].as_array().unwrap().clone()
    };
    let alone = search(&[]);
    assert!(!alone.is_empty());
    for hit in &alone {
        assert!(hit["score"].as_f64().unwrap() > 0.0 && hit["age_days"].as_f64().unwrap() >= 0.0, "{hit}");
        assert!(hit["parts"]["relevance"].is_f64() && hit["parts"]["time"].is_f64(), "{hit}");
        assert!(hit["source"]["id"].is_string() && hit["text"].is_string(), "{hit}");
    }
    assert!(alone.iter().all(|hit| hit["parts"]["dense"].is_f64()), "the model is in use");
    assert!(search(&["--without", "dense"]).iter().all(|hit| hit["parts"]["dense"].is_null()));
    assert!(search(&["--as-of", "2001-01-01T00:00:00Z"]).is_empty(), "nothing had happened yet");
    let nobody =
        json_with_model(home, &["search", "--user", "stranger", "what made me want sweets at night?"]);
    assert_eq!(nobody["hits"].as_array().unwrap().len(), 0);

    let server = Server::start_with(home, &[("CRAVE_MODELS", models())]).unwrap();
    let ids = |hits: &[Value]| hits.iter().map(|hit| hit["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&search(&[])), ids(&alone), "the server answers the same");
    server.stop();
}
