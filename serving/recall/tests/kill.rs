//! `kill -9` during upserts: every acknowledged point is there afterwards.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crave_recall::Recall;
use support::{note, user};

const DIR: &str = "CRAVE_RECALL_KILL_DIR";
const ROUNDS: usize = 5;

/// Not a test: the process that is killed. It writes for ever and prints what was acknowledged.
#[tokio::test]
async fn child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
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
    }
}

#[tokio::test]
async fn acknowledged_points_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 1..=ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads", "1"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        for line in lines {
            if let Some((_, id)) = line.split_once("acknowledged ") {
                acknowledged.insert(id.to_owned());
            }
            if acknowledged.len() >= round * 20 {
                break;
            }
        }
        // SIGKILL, in the middle of the upserts that follow.
        child.kill().unwrap();
        child.wait().unwrap();

        let recall = Recall::open(dir.path(), None).await.unwrap();
        let (stored, _) = recall.list(&user("u1"), None, 1000).await.unwrap();
        let stored: BTreeSet<String> = stored.into_iter().map(|memory| memory.source_id).collect();
        let lost: Vec<&String> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        // The writer may have been killed after the flush of one that it had not reported yet, no more.
        assert!(stored.len() <= acknowledged.len() + 20 * round, "{} stored", stored.len());
        assert_eq!(recall.count(&user("u1")).await.unwrap(), stored.len());
    }
    assert!(acknowledged.len() >= ROUNDS * 20);
}
