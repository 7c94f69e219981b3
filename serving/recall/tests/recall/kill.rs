//! `kill -9` during upserts, rebuilds and optimisation: every acknowledged point is there afterwards, once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{note, user};
use crave_recall::{Memory, Recall, SourceKind};

const DIR: &str = "CRAVE_RECALL_KILL_DIR";
const BESIDES: &str = "CRAVE_RECALL_KILL_BESIDES";
const ROUNDS: u64 = 6;
const BULK: u32 = 1000;

/// Not a test: the process that is killed. It writes for ever, prints what was acknowledged, and does something else
/// besides.
#[tokio::test]
async fn child() {
    let (Some(dir), Ok(besides)) = (std::env::var_os(DIR).map(PathBuf::from), std::env::var(BESIDES)) else {
        return;
    };
    let recall = Recall::open(&dir, None).await.unwrap();
    let first = recall.count(&user("u1")).await.unwrap();
    for n in first.. {
        // Some are written twice, as a replay would.
        let pair = vec![
            note("u1", &format!("e{n}"), "gingerbread"),
            note("u1", &format!("e{}", n / 2), "gingerbread"),
        ];
        recall.upsert(pair).await.unwrap();
        println!("acknowledged e{n}");
        std::io::stdout().flush().unwrap();
        match besides.as_str() {
            "rebuild" if n % 4 == 0 => recall.scrub().await.unwrap(),
            "optimise" if n % 4 == 0 => {
                // Enough deleted points that the engine rewrites the segment.
                let chunk = |chunk| Memory { chunk, ..note("bulk", &format!("b{n}"), "crumbs") };
                recall.upsert((0..BULK).map(chunk).collect()).await.unwrap();
                recall.delete_source(&user("bulk"), SourceKind::Note, &format!("b{n}"), None).await.unwrap();
                recall.optimise().await.unwrap();
            }
            _ => {}
        }
    }
}

fn start(dir: &Path, besides: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--test-threads", "1"])
        .env(DIR, dir)
        .env(BESIDES, besides)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn survives(besides: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 1..=ROUNDS {
        let mut child = start(dir.path(), besides);
        let before = acknowledged.len();
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if let Some((_, id)) = line.split_once("acknowledged ") {
                acknowledged.insert(id.to_owned());
            }
            if acknowledged.len() >= before + 9 {
                break;
            }
        }
        assert!(acknowledged.len() >= before + 9, "{besides}, round {round}: the child stopped by itself");
        // Each round dies at another point of what follows.
        std::thread::sleep(Duration::from_millis(round * 17));
        child.kill().unwrap();
        child.wait().unwrap();

        let recall = Recall::open(dir.path(), None).await.unwrap();
        let (stored, _) = recall.list(&user("u1"), None, 1000).await.unwrap();
        let ids: BTreeSet<String> = stored.iter().map(|memory| memory.source_id.clone()).collect();
        let lost: Vec<&String> = acknowledged.difference(&ids).collect();
        assert!(lost.is_empty(), "{besides}, round {round}: lost {lost:?}");
        assert_eq!(stored.len(), ids.len(), "{besides}, round {round}: listed twice");
        assert_eq!(
            recall.count(&user("u1")).await.unwrap(),
            ids.len(),
            "{besides}, round {round}: counted twice"
        );
    }
}

#[tokio::test]
async fn acknowledged_points_survive_kill_9() {
    survives("nothing").await;
}

#[tokio::test]
async fn acknowledged_points_survive_kill_9_during_rebuilds() {
    survives("rebuild").await;
}

#[tokio::test]
async fn acknowledged_points_survive_kill_9_during_optimisation() {
    survives("optimise").await;
}
