//! Generation folders: a shard lies in `gen-NNNNNNNN`, and `CURRENT` names the one in use.
//!
//! A new generation is filled and flushed before `CURRENT` is moved to it in one rename; whatever else lies there
//! at the next opening is a remainder of a crash and is removed.

use std::fs::{self, File};
use std::io::Write;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use qdrant_edge::{
    CreateIndex, Distance, EdgeConfig, EdgeShard, EdgeSparseVectorParams, EdgeVectorParams,
    FieldIndexOperations, IntegerIndexParams, KeywordIndexParams, OperationResult, PayloadFieldSchema,
    PayloadSchemaParams, UpdateOperation, WalOptions,
};

use super::filter::{DENSE, SPARSE, key, path as field_path};
use crate::{DIMENSION, Error, Result};

const CURRENT: &str = "CURRENT";
const PREFIX: &str = "gen-";
/// One file of the engine's log.
const WAL_FILE_BYTES: usize = 4 << 20;

/// A shard and its folder.
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// `None` only if it could not be opened again.
    shard: Option<EdgeShard>,
}

impl Generation {
    pub(super) fn shard(&self) -> Result<&EdgeShard> {
        self.shard.as_ref().ok_or(Error::Closed)
    }

    /// Closes and opens the shard, which trims its log.
    pub(super) fn reopen(&mut self) -> Result<()> {
        self.shard = None;
        self.shard = Some(load(&self.path)?);
        Ok(())
    }

    /// Closes the shard and removes every file of it.
    pub(super) fn remove(mut self) -> Result<()> {
        self.shard = None;
        fs::remove_dir_all(&self.path).map_err(|error| Error::io("remove", &self.path, error))?;
        self.path.parent().map_or(Ok(()), sync_dir)
    }
}

/// Opens what `CURRENT` names, or makes the first generation.
pub(super) fn open_current(dir: &Path) -> Result<Generation> {
    let current = dir.join(CURRENT);
    let number = match fs::read_to_string(&current) {
        Ok(name) => {
            name.trim().strip_prefix(PREFIX).and_then(|number| number.parse().ok()).ok_or_else(|| {
                Error::IndexBroken {
                    path: dir.to_owned(),
                    why: format!("{CURRENT} does not name a generation"),
                }
            })?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let first = create(dir, 1)?;
            make_current(dir, 1)?;
            return Ok(first);
        }
        Err(error) => return Err(Error::io("read", current, error)),
    };
    remove_others(dir, number)?;
    let path = folder(dir, number);
    Ok(Generation { number, shard: Some(load(&path)?), path })
}

/// Makes an empty shard with its indexes in a fresh folder; it is not current yet.
pub(super) fn create(dir: &Path, number: u64) -> Result<Generation> {
    let path = folder(dir, number);
    if path.exists() {
        fs::remove_dir_all(&path).map_err(|error| Error::io("clear", &path, error))?;
    }
    fs::create_dir(&path).map_err(|error| Error::io("create", &path, error))?;
    let shard = engine(&path, || {
        let shard = EdgeShard::new(&path, config())?;
        for (field, schema) in indexes() {
            let index = CreateIndex { field_name: field_path(field), field_schema: Some(schema) };
            shard.update(UpdateOperation::FieldIndexOperation(FieldIndexOperations::CreateIndex(index)))?;
        }
        shard.flush();
        Ok(shard)
    })?;
    Ok(Generation { number, path, shard: Some(shard) })
}

/// Moves `CURRENT` in one step.
pub(super) fn make_current(dir: &Path, number: u64) -> Result<()> {
    let (current, next) = (dir.join(CURRENT), dir.join("CURRENT.next"));
    let written = File::create(&next).and_then(|mut file| {
        file.write_all(name(number).as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, &current)
    });
    written.map_err(|error| Error::io("write", current, error))?;
    sync_dir(dir)
}

/// The bytes that the engine's log takes on disk.
pub(super) fn wal_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path.join("wal")) else { return 0 };
    entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}

fn load(path: &Path) -> Result<EdgeShard> {
    trim_wal(path)?;
    engine(path, || EdgeShard::load(path, Some(config())))
}

/// Removes all closed files of the log but the last, from which the engine takes its next operation number. The
/// engine never reads them again: what is in them was flushed before it was acknowledged.
fn trim_wal(path: &Path) -> Result<()> {
    let wal = path.join("wal");
    let entries = match fs::read_dir(&wal) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("read", wal, error)),
    };
    let start = |name: &str| name.strip_prefix("closed-")?.parse::<u64>().ok();
    let mut closed: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((start(path.file_name()?.to_str()?)?, path))
        })
        .collect();
    closed.sort();
    closed.pop();
    for (_, file) in closed {
        fs::remove_file(&file).map_err(|error| Error::io("remove", file, error))?;
    }
    Ok(())
}

fn remove_others(dir: &Path, keep: u64) -> Result<()> {
    let keep = name(keep);
    let entries = fs::read_dir(dir).map_err(|error| Error::io("read", dir, error))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let found = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if found.starts_with(PREFIX) && found != keep {
            fs::remove_dir_all(&path).map_err(|error| Error::io("remove", path, error))?;
        }
    }
    Ok(())
}

/// Runs an opening of the engine, which panics on some damaged files.
fn engine(path: &Path, open: impl FnOnce() -> OperationResult<EdgeShard>) -> Result<EdgeShard> {
    let broken = |why: String| Error::IndexBroken { path: path.to_owned(), why };
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(shard)) => Ok(shard),
        Ok(Err(error)) => Err(broken(error.to_string())),
        Err(_) => Err(broken("the engine panicked".to_owned())),
    }
}

fn config() -> EdgeConfig {
    // Vectors on disk and mapped: memory use follows what is searched, not what is stored.
    let dense = EdgeVectorParams::builder(DIMENSION, Distance::Cosine).on_disk(true).build();
    // No idf modifier: it would count the words of all tenants; see `crate::lexical`.
    let sparse = EdgeSparseVectorParams::builder().build();
    let wal = WalOptions {
        segment_capacity: WAL_FILE_BYTES,
        segment_queue_len: 0,
        retain_closed: NonZeroUsize::MIN,
    };
    EdgeConfig::builder()
        .vector(DENSE, dense)
        .sparse_vector(SPARSE, sparse)
        .on_disk_payload(true)
        .wal_options(wal)
        .build()
}

fn indexes() -> [(&'static str, PayloadFieldSchema); 5] {
    let keyword = |is_tenant: bool| {
        let params = KeywordIndexParams { is_tenant: Some(is_tenant), ..KeywordIndexParams::default() };
        PayloadFieldSchema::FieldParams(PayloadSchemaParams::Keyword(params))
    };
    let time = PayloadFieldSchema::FieldParams(PayloadSchemaParams::Integer(IntegerIndexParams::default()));
    [
        (key::USER, keyword(true)),
        (key::OWNER, keyword(false)),
        (key::KIND, keyword(false)),
        (key::SOURCE, keyword(false)),
        (key::TIME, time),
    ]
}

fn name(number: u64) -> String {
    format!("{PREFIX}{number:08}")
}

fn folder(dir: &Path, number: u64) -> PathBuf {
    dir.join(name(number))
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|opened| opened.sync_all()).map_err(|error| Error::io("sync", dir, error))
}
