//! Parquet files that are durable but not yet visible: step (a) of the commit protocol.
//!
//! A file is written to `TABLE/_staged/`, which vacuum skips, synced, and named in the checkpoint. The commit
//! renames it into the table before the Delta commit refers to it. A rename that was done before a crash
//! is found done and not repeated.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use arrow::array::RecordBatch;
use parquet::{
    arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder},
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use serde::{Deserialize, Serialize};

use crate::{Error, stats::Stats};

/// Folder of staged files within a table's folder.
pub(crate) const STAGING: &str = "_staged";

/// One staged file: enough to commit it without reading it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StagedFile {
    /// File name, the same in staging and in the table.
    pub(crate) name: String,
    /// Size.
    pub(crate) bytes: u64,
    /// Delta statistics: rows, minima and maxima of ids and times.
    pub(crate) stats: Stats,
}

/// Where files of the table in `table` are staged.
pub(crate) fn folder(table: &Path) -> PathBuf {
    table.join(STAGING)
}

/// Writes `batches` as one durable staged file of the table in `folder`.
///
/// # Errors
/// When encoding or the disk fails; nothing is visible then.
pub(crate) fn write(
    folder: &Path,
    table: &str,
    epoch: u64,
    batches: &[RecordBatch],
) -> Result<Option<StagedFile>, Error> {
    let Some(first) = batches.first() else { return Ok(None) };
    let staging = folder.join(STAGING);
    fs::create_dir_all(&staging).map_err(Error::file(&staging, "making the staging folder"))?;
    let name = format!("{epoch:020}-{}.parquet", uuid::Uuid::now_v7());
    let path = staging.join(&name);
    let file = File::create(&path).map_err(Error::file(&path, "creating"))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by("crave-tables".into())
        .build();
    let mut writer = ArrowWriter::try_new(file, first.schema(), Some(properties))
        .map_err(Error::data(table, "encoding Parquet"))?;
    for batch in batches {
        writer.write(batch).map_err(Error::data(table, "encoding Parquet"))?;
    }
    let file = writer.into_inner().map_err(Error::data(table, "encoding Parquet"))?;
    file.sync_all().map_err(Error::file(&path, "syncing"))?;
    let bytes = file.metadata().map_err(Error::file(&path, "reading the size of"))?.len();
    sync_folder(&staging)?;
    let stats = Stats::of(batches).map_err(Error::data(table, "computing statistics"))?;
    Ok(Some(StagedFile { name, bytes, stats }))
}

/// Moves a staged file into its table; does nothing when that was done before.
///
/// # Errors
/// When the file is in neither place, or the disk fails.
pub(crate) fn publish(folder: &Path, file: &StagedFile) -> Result<(), Error> {
    let (from, to) = (folder.join(STAGING).join(&file.name), folder.join(&file.name));
    if to.exists() {
        return Ok(());
    }
    fs::rename(&from, &to).map_err(Error::file(&from, "moving the staged file into its table"))?;
    sync_folder(folder)
}

/// The rows of a staged file, before or after it was published.
///
/// # Errors
/// When the file is in neither place or does not decode.
pub(crate) fn read(folder: &Path, table: &str, file: &StagedFile) -> Result<Vec<RecordBatch>, Error> {
    let staged = folder.join(STAGING).join(&file.name);
    let path = if staged.exists() { staged } else { folder.join(&file.name) };
    let parquet = File::open(&path).map_err(Error::file(&path, "opening"))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(parquet)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(Error::data(table, "reading a staged file"))?;
    reader.collect::<Result<_, _>>().map_err(Error::data(table, "reading a staged file"))
}

/// Deletes staged files of epochs below `decided`: no checkpoint names them any more.
///
/// # Errors
/// When the disk fails.
pub(crate) fn sweep(folder: &Path, decided: u64) -> Result<usize, Error> {
    let staging = folder.join(STAGING);
    let Ok(entries) = fs::read_dir(&staging) else { return Ok(0) };
    let stale = |path: &PathBuf| {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.split('-')
            .next()
            .and_then(|epoch| epoch.parse::<u64>().ok())
            .is_some_and(|epoch| epoch < decided)
    };
    let mut swept = 0;
    for path in entries.filter_map(|e| e.ok().map(|e| e.path())).filter(stale) {
        fs::remove_file(&path).map_err(Error::file(&path, "deleting"))?;
        swept += 1;
    }
    Ok(swept)
}

/// Makes a folder's names durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(Error::file(folder, "syncing"))
}
