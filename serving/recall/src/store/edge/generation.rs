//! A shard in a folder of its own, with `model.json`, which names the model whose vectors it holds.

use std::fs::{self, File};
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use qdrant_edge::{
    CreateIndex, Distance, EdgeConfig, EdgeShard, EdgeSparseVectorParams, EdgeVectorParams,
    FieldIndexOperations, HnswIndexConfig, IntegerIndexParams, KeywordIndexParams, OperationResult,
    PayloadFieldSchema, PayloadSchemaParams, UpdateOperation, WalOptions,
};

use super::super::point::{DENSE, SPARSE, key};
use super::filter::path as field_path;
use crate::embed::Model;
use crate::{Error, Result};

const MODEL: &str = "model.json";
/// One file of the engine's log.
const WAL_FILE_BYTES: usize = 4 << 20;

/// Makes an empty shard with its indexes in a fresh folder.
pub(super) fn create(path: &Path, model: &Model) -> Result<EdgeShard> {
    if path.exists() {
        fs::remove_dir_all(path).map_err(|error| Error::io("clear", path, error))?;
    }
    fs::create_dir(path).map_err(|error| Error::io("create", path, error))?;
    let shard = engine(path, || {
        let shard = EdgeShard::new(path, config(model))?;
        for (field, schema) in indexes() {
            let index = CreateIndex { field_name: field_path(field), field_schema: Some(schema) };
            shard.update(UpdateOperation::FieldIndexOperation(FieldIndexOperations::CreateIndex(index)))?;
        }
        shard.flush();
        Ok(shard)
    })?;
    let file = path.join(MODEL);
    let written = serde_json::to_vec(model).map_err(std::io::Error::other).and_then(|json| {
        let mut file = File::create(&file)?;
        file.write_all(&json)?;
        file.sync_all()
    });
    written.map_err(|error| Error::io("write", file, error))?;
    sync_dir(path)?;
    Ok(shard)
}

/// Opens a shard again, which trims its log.
pub(super) fn load(path: &Path, model: &Model) -> Result<EdgeShard> {
    trim_wal(path)?;
    engine(path, || EdgeShard::load(path, Some(config(model))))
}

/// The model of the shard in a folder: [`Model::minilm`] where none is named, for there was no other before.
pub(super) fn model(path: &Path) -> Result<Model> {
    let file = path.join(MODEL);
    let broken = |why: String| Error::IndexBroken { path: path.to_owned(), why };
    match fs::read(&file) {
        Ok(json) => serde_json::from_slice(&json).map_err(|error| broken(format!("{MODEL}: {error}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.is_dir() => Ok(Model::minilm()),
        Err(error) => Err(broken(format!("{MODEL}: {error}"))),
    }
}

/// The bytes that the engine's log takes on disk.
pub(super) fn wal_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path.join("wal")) else { return 0 };
    entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
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

/// Runs an opening of the engine, which panics on some damaged files.
fn engine(path: &Path, open: impl FnOnce() -> OperationResult<EdgeShard>) -> Result<EdgeShard> {
    let broken = |why: String| Error::IndexBroken { path: path.to_owned(), why };
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(shard)) => Ok(shard),
        Ok(Err(error)) => Err(broken(error.to_string())),
        Err(_) => Err(broken("the engine panicked".to_owned())),
    }
}

fn config(model: &Model) -> EdgeConfig {
    // Vectors on disk and mapped: memory use follows what is searched, not what is stored.
    let dense = EdgeVectorParams::builder(model.dimension(), Distance::Cosine).on_disk(true).build();
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
        .hnsw_config(HnswIndexConfig { m: 0, payload_m: Some(GRAPH_M), ..HnswIndexConfig::default() })
        .on_disk_payload(true)
        .wal_options(wal)
        .build()
}

/// Links of a point in the graph of its person. There is no graph over everybody (`m = 0`), which no search would use.
const GRAPH_M: usize = 16;

fn indexes() -> [(&'static str, PayloadFieldSchema); 5] {
    let keyword = |is_tenant: bool| {
        // Graphs are built of people, not of kinds, which would be one over everybody.
        let params = KeywordIndexParams {
            is_tenant: Some(is_tenant),
            enable_hnsw: Some(is_tenant),
            ..KeywordIndexParams::default()
        };
        PayloadFieldSchema::FieldParams(PayloadSchemaParams::Keyword(params))
    };
    let time = IntegerIndexParams { enable_hnsw: Some(false), ..IntegerIndexParams::default() };
    let time = PayloadFieldSchema::FieldParams(PayloadSchemaParams::Integer(time));
    [
        (key::USER, keyword(true)),
        (key::OWNER, keyword(false)),
        (key::KIND, keyword(false)),
        (key::SOURCE, keyword(false)),
        (key::TIME, time),
    ]
}

pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|opened| opened.sync_all()).map_err(|error| Error::io("sync", dir, error))
}
