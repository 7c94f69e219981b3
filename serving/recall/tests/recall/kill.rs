//! `kill -9` during upserts, deletions, moves to the cold index, rebuilds and optimisation: fifty of them, and each time
//! the ids are those of the live rows.
//!
//! The child works through a log of changes, as the memory follower does: it prints the number of each change that was
//! acknowledged. After the kill the parent opens the index, replays from there, and compares it with the same changes
//! applied to a map.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::Duration as Days;
use crave_recall::{Memory, Recall, SourceKind};

use crate::support::{note, now, user};

const DIR: &str = "CRAVE_RECALL_KILL_DIR";
const FROM: &str = "CRAVE_RECALL_KILL_FROM";
const KILLS: u64 = 50;
/// Changes that a child gets done, at least, before it is killed.
const CHANGES: u64 = 6;

/// A change of the log.
enum Change {
    Upsert(Vec<Memory>),
    Delete(String, u32),
    /// Everything older than the retention moves to the cold index.
    Retire,
    Rebuild,
    Optimise,
}

/// The `n`-th change. Notes of even numbers are old enough to move.
fn change(n: u64) -> Change {
    let one = |n: u64, revision: u32| {
        let days = if n.is_multiple_of(2) { 900 } else { 3 };
        let time = now() - Days::days(days);
        Memory {
            revision,
            event_time: time,
            ..note("u1", &format!("e{n}"), &format!("gingerbread {n} {revision}"))
        }
    };
    match n % 12 {
        3 | 9 => Change::Retire,
        // A correction, of a note that moved for some.
        5 => Change::Upsert(vec![one(n / 2, 1), one(n / 3, 2)]),
        7 => Change::Delete(format!("e{}", n / 3), 1),
        10 if n.is_multiple_of(5) => Change::Rebuild,
        11 if n.is_multiple_of(3) => Change::Optimise,
        // Some are written twice, as a replay would.
        _ => Change::Upsert(vec![one(n, 0), one(n + 1, 0), one(n / 2, 0)]),
    }
}

async fn apply(recall: &Recall, n: u64) {
    match change(n) {
        Change::Upsert(memories) => recall.upsert(memories).await.unwrap(),
        Change::Delete(source, through) => {
            recall.delete_source(&user("u1"), SourceKind::Note, &source, Some(through)).await.unwrap();
        }
        Change::Retire => while recall.retire(now()).await.unwrap() > 0 {},
        Change::Rebuild => recall.scrub().await.unwrap(),
        Change::Optimise => recall.optimise().await.unwrap(),
    }
}

/// The live rows after the first `changes`: source and revision.
fn live(changes: u64) -> BTreeMap<String, u32> {
    let (mut rows, mut gone) = (BTreeMap::new(), BTreeMap::new());
    for n in 0..changes {
        match change(n) {
            Change::Upsert(memories) => {
                for memory in memories {
                    let dead = gone.get(&memory.source_id).is_some_and(|through| memory.revision <= *through);
                    let row = rows.entry(memory.source_id.clone());
                    if !dead {
                        let revision: &mut u32 = row.or_insert(0);
                        *revision = memory.revision.max(*revision);
                    }
                }
            }
            Change::Delete(source, through) => {
                if rows.get(&source).is_some_and(|revision| *revision <= through) {
                    rows.remove(&source);
                }
                gone.insert(source, through);
            }
            Change::Retire | Change::Rebuild | Change::Optimise => {}
        }
    }
    rows
}

/// Not a test: the process that is killed.
#[tokio::test]
async fn child() {
    let (Some(dir), Ok(from)) = (std::env::var_os(DIR).map(PathBuf::from), std::env::var(FROM)) else {
        return;
    };
    let recall = Recall::open(&dir, None).await.unwrap();
    for n in from.parse().unwrap().. {
        apply(&recall, n).await;
        println!("acknowledged {n}");
        std::io::stdout().flush().unwrap();
    }
}

fn start(dir: &Path, from: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--test-threads", "1"])
        .env(DIR, dir)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn rows(recall: &Recall) -> BTreeMap<String, u32> {
    let (mut rows, mut from, mut listed) = (BTreeMap::new(), None, 0);
    loop {
        let (page, next) = recall.list(&user("u1"), from, 100).await.unwrap();
        listed += page.len();
        rows.extend(page.into_iter().map(|memory| (memory.source_id, memory.revision)));
        match next {
            Some(_) => from = next,
            None => break,
        }
    }
    assert_eq!(listed, rows.len(), "something is listed twice");
    rows
}

#[tokio::test]
async fn after_fifty_kills_the_ids_are_those_of_the_live_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut done = 0;
    for kill in 0..KILLS {
        let mut child = start(dir.path(), done);
        let first = done;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut read = |done: &mut u64, enough: u64| {
            for line in lines.by_ref() {
                if let Some((_, n)) = line.split_once("acknowledged ") {
                    *done = n.parse::<u64>().unwrap() + 1;
                }
                if *done >= enough {
                    break;
                }
            }
        };
        read(&mut done, first + CHANGES);
        assert!(done >= first + CHANGES, "kill {kill}: the child stopped by itself");
        // Each dies at another point of what follows.
        std::thread::sleep(Duration::from_micros(kill * 1_300));
        child.kill().unwrap();
        child.wait().unwrap();
        read(&mut done, u64::MAX);

        let recall = Recall::open(dir.path(), None).await.unwrap();
        // One change may be done in part: the log is read on from it.
        apply(&recall, done).await;
        done += 1;
        assert_eq!(rows(&recall).await, live(done), "kill {kill}, after change {done}");
        assert_eq!(recall.count(&user("u1")).await.unwrap(), live(done).len(), "kill {kill}");
    }
    let recall = Recall::open(dir.path(), None).await.unwrap();
    assert!(recall.status().await.unwrap().cold.memories > 20, "hardly anything moved");
    assert_eq!(rows(&recall).await, live(done));
}
