//! Every SQL case: whole, stopped and resumed at another parallelism, crashed and resumed, and as a batch.

use std::path::Path;

use crate::support::{Case, assert_same, options, shared_cases};

async fn check(name: &str, folder: &Path, input: &Path) {
    for parallelism in [1, 3] {
        let case = Case::new(folder, input);
        case.run(options(parallelism)).await;
        assert_same(&format!("{name} whole at {parallelism}"), &case.repaired().await, &case.expected());
    }

    let case = Case::new(folder, input);
    let mut stop = options(2);
    stop.checkpoint_rows = Some(1000);
    stop.stop_at_first_checkpoint = true;
    case.run(stop.clone()).await;
    let before = case.written();
    case.run(options(3)).await;
    assert_same(&format!("{name} stopped at 2, resumed at 3"), &case.repaired().await, &case.expected());
    // Once more from the end: nothing is written twice.
    case.run(options(1)).await;
    assert_same(&format!("{name} resumed at its end"), &case.repaired().await, &case.expected());
    assert!(before <= case.written());

    // Many checkpoints on the way, so that state is merged, written anew and cleaned up.
    let case = Case::new(folder, input);
    stop.checkpoint_rows = Some(256);
    for parallelism in [1, 2, 3] {
        stop.parallelism = parallelism;
        case.run(stop.clone()).await;
    }
    let mut often = options(2);
    often.checkpoint_rows = Some(256);
    case.run(often).await;
    assert_same(&format!("{name} in small epochs"), &case.repaired().await, &case.expected());

    assert_same(&format!("{name} as a batch"), &Case::new(folder, input).batch().await, &case.expected());
}

fn folders(root: &Path) -> Vec<(String, std::path::PathBuf)> {
    let entries = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path());
    let mut folders = entries
        .filter(|p| p.join("query.sql").is_file())
        .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), p))
        .collect::<Vec<_>>();
    folders.sort();
    folders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let folders = folders(&root);
    assert!(folders.len() >= 4);
    for (name, folder) in folders {
        check(&name, &folder, &root).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared() {
    let Some(root) = shared_cases() else { return };
    let only = std::env::var("CASE").ok();
    for (name, folder) in folders(&root) {
        if only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        let input = root.join("inputs");
        check(&name, &folder, &input).await;
        println!("passed: {name}");
    }
}
