//! Leaves nothing of a person in any version of any table (PR-1).
//!
//! Their rows are deleted in one commit; then the table's past goes: a Delta checkpoint at a commit that says nothing of
//! them, and without the log before it, the files that no live version names, and whatever was staged. Time travel ends here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crave_schemas::UserId;
use datafusion::{
    logical_expr::{col, lit},
    prelude::SessionContext,
};
use deltalake::{
    checkpoints::create_checkpoint,
    kernel::{
        Action, Transaction,
        transaction::{CommitBuilder, CommitProperties},
    },
    protocol::{DeltaOperation, SaveMode},
};

use crate::{Error, Table, staged, versions::Versions};

/// The column that names the person.
const USER: &str = "user_id";
/// The application that marks the commit from which a table's past is gone.
const APP: &str = "crave/erasure";

/// What was removed from a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasedRows {
    /// Rows of the person.
    pub rows: u64,
    /// Files of versions that are no more.
    pub files: u64,
}

/// Erases a person from every table in `lake`, by name. Nothing else may read or write the tables.
///
/// # Errors
/// When a table or the disk fails: call it again.
pub async fn erase(lake: &Path, user: &UserId) -> Result<BTreeMap<String, ErasedRows>, Error> {
    let versions = Versions::new(lake);
    for folder in versions.unnamed() {
        fs::remove_dir_all(&folder).map_err(Error::file(&folder, "deleting"))?;
    }
    let mut erased = BTreeMap::new();
    for name in versions.names() {
        let folders: BTreeSet<_> =
            [versions.current(&name), versions.building(&name)].into_iter().flatten().collect();
        for folder in folders {
            let of: &mut ErasedRows = erased.entry(name.clone()).or_default();
            let table = Table::open_existing(&name, &folder).await?;
            of.rows += rows(&table, user).await?;
            of.files += past(&table).await?;
        }
    }
    Ok(erased)
}

/// Deletes the person's rows from the newest version; says how many.
async fn rows(table: &Table, user: &UserId) -> Result<u64, Error> {
    if table.schema().field_with_name(USER).is_err() {
        return Ok(0);
    }
    let theirs = col(USER).eq(lit(user.as_str()));
    let context = SessionContext::new();
    table.register_store(&context).await?;
    let failed = |doing| Error::data(table.name(), doing);
    let frame = context.read_table(table.provider().await?).map_err(failed("scanning"))?;
    let frame = frame.filter(theirs.clone()).map_err(failed("filtering"))?;
    let count = Box::pin(frame.count()).await.map_err(failed("counting"))?;
    if count > 0 {
        table.replace(theirs, Vec::new()).await?;
    }
    Ok(count as u64)
}

/// Leaves the newest version alone; says how many files of others there were.
async fn past(table: &Table) -> Result<u64, Error> {
    let name = table.name();
    let (version, live) = table
        .write(async |mut delta| {
            // A commit of its own: that of the deletion has the person's id in its predicate.
            let next = delta.version().unwrap_or_default() + 1;
            let mark = Transaction::new(APP, i64::try_from(next).unwrap_or(i64::MAX));
            let operation =
                DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
            let commit = {
                let snapshot = delta.snapshot().map_err(Error::delta(name, "reading its state"))?;
                let properties = CommitProperties::default().with_application_transaction(mark);
                let builder = CommitBuilder::from(properties).with_actions(Vec::<Action>::new());
                builder.build(Some(snapshot.snapshot()), delta.log_store(), operation).await
            };
            let commit = commit.map_err(Error::delta(name, "marking an erasure"))?;
            delta.update_state().await.map_err(Error::delta(name, "reading its log"))?;
            create_checkpoint(&delta, None).await.map_err(Error::delta(name, "writing a checkpoint"))?;
            let uris = delta.get_file_uris().map_err(Error::delta(name, "listing files"))?;
            let live: BTreeSet<String> =
                uris.filter_map(|uri| uri.rsplit('/').next().map(str::to_owned)).collect();
            Ok((delta, (commit.version, live)))
        })
        .await?;
    let log = table.folder().join("_delta_log");
    let kept = format!("{version:020}.");
    for path in [log.join(format!("{kept}json")), log.join("_last_checkpoint")] {
        fs::File::open(&path).and_then(|file| file.sync_all()).map_err(Error::file(&path, "syncing"))?;
    }
    staged::sync_folder(&log)?;
    let mut gone = remove(table.folder(), |name| live.contains(name))?;
    gone += remove(&log, |name| name.starts_with(&kept) || name == "_last_checkpoint")?;
    let staging = staged::folder(table.folder());
    if staging.exists() {
        gone += remove(&staging, |_| false)?;
    }
    Ok(gone)
}

/// Removes the files of a folder that are not kept; says how many.
fn remove(folder: &Path, keep: impl Fn(&str) -> bool) -> Result<u64, Error> {
    let mut gone = 0;
    for entry in fs::read_dir(folder).map_err(Error::file(folder, "listing"))? {
        let entry = entry.map_err(Error::file(folder, "listing"))?;
        let path = entry.path();
        if path.is_file() && !keep(&entry.file_name().to_string_lossy()) {
            fs::remove_file(&path).map_err(Error::file(&path, "deleting"))?;
            gone += 1;
        }
    }
    staged::sync_folder(folder)?;
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::Arc};

    use arrow::{
        array::{ArrayRef, AsArray as _, RecordBatch, StringArray},
        datatypes::{DataType, Field, Schema},
    };

    use super::*;
    use crate::Tables;

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
        }
        found
    }

    async fn texts(lake: &Path) -> Vec<String> {
        let tables = Tables::new(lake);
        tables.refresh().await.unwrap();
        let table = tables.get("notes").unwrap();
        let context = SessionContext::new();
        table.register_store(&context).await.unwrap();
        let frame = context.read_table(table.provider().await.unwrap()).unwrap();
        let frame =
            frame.select_columns(&["note"]).unwrap().sort(vec![col("note").sort(true, false)]).unwrap();
        let batches = frame.collect().await.unwrap();
        let cast = |batch: &RecordBatch| arrow::compute::cast(batch.column(0), &DataType::Utf8).unwrap();
        batches
            .iter()
            .flat_map(|b| cast(b).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    #[tokio::test]
    async fn no_version_holds_a_byte_of_them_and_the_table_goes_on() {
        let lake = tempfile::tempdir().unwrap();
        let lake = lake.path();
        let text = |name| Field::new(name, DataType::Utf8, true);
        let sink = Schema::new(vec![text("user_id"), text("note")]);
        let tables = Tables::new(lake);
        let table = tables.open("notes", &sink, false).await.unwrap();
        let append = async |table: &Table, epoch: u64, user: &str, note: &str| {
            let column = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text, text])) };
            let notes: ArrayRef = Arc::new(StringArray::from(vec![note.to_owned(), format!("{note} again")]));
            let rows = RecordBatch::try_from_iter_with_nullable([
                ("user_id", column(user), true),
                ("note", notes, true),
            ]);
            let rows = table.conform(&rows.unwrap()).unwrap();
            let staged = staged::write(table.folder(), "notes", epoch, &[rows]).unwrap().unwrap();
            table.append(epoch, epoch, &[staged]).await.unwrap()
        };
        for epoch in 1..=25 {
            let user = if epoch % 3 == 0 { "bob" } else { "ada-of-ghent" };
            let _ = append(&table, epoch, user, &format!("words {epoch}")).await;
        }
        // What a compaction and a repair leave in the log, and what a crash left staged.
        let bounds = crate::Bounds { live_files_max: 3, vacuum_after: chrono::TimeDelta::hours(1) };
        crate::maintain(&table, 25, bounds).await.unwrap();
        table
            .replace(col("user_id").eq(lit("ada-of-ghent")).and(col("note").eq(lit("words 1"))), Vec::new())
            .await
            .unwrap();
        let left = table.folder().join("_staged").join("00000000000000000099-x.parquet");
        fs::write(left, b"ada-of-ghent").unwrap();
        drop((table, tables));

        let user = UserId::new("ada-of-ghent").unwrap();
        let erased = erase(lake, &user).await.unwrap();
        assert_eq!(erased["notes"].rows, 33, "{erased:?}");
        assert_eq!(erase(lake, &user).await.unwrap()["notes"].rows, 0);
        for path in files(lake) {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(12).any(|w| w == b"ada-of-ghent"), "{}", path.display());
        }
        assert_eq!(texts(lake).await.len(), 16);
        let tables = Tables::new(lake);
        let table = tables.open("notes", &sink, true).await.unwrap();
        assert_eq!(table.committed().await.unwrap(), Some(25), "its epoch is known");
        assert_eq!(append(&table, 25, "bob", "twice").await, crate::commit::Commit::Skip);
        assert_eq!(append(&table, 26, "bob", "new").await, crate::commit::Commit::Add);
        assert_eq!(texts(lake).await.len(), 18);
    }
}
