//! Few files: compaction, log clean-up and vacuum, through the table's one writer.

use chrono::TimeDelta;

use crate::{Error, Table, staged};

/// When maintenance acts.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Live files above which a table is compacted.
    pub live_files_max: usize,
    /// Files that no version refers to are kept this long for readers that pinned one.
    pub vacuum_after: TimeDelta,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { live_files_max: 64, vacuum_after: TimeDelta::hours(1) }
    }
}

/// Brings one table within `bounds`. Log entries older than the table's retention go with each Delta
/// checkpoint.
///
/// # Errors
/// When the store fails; the table is as it was.
pub async fn maintain(table: &Table, decided: u64, bounds: Bounds) -> Result<(), Error> {
    let name = table.name();
    staged::sweep(table.folder(), decided)?;
    let compacted = table
        .write(async |delta| {
            let files = delta.get_file_uris().map_err(Error::delta(name, "listing files"))?.count();
            if files <= bounds.live_files_max {
                return Ok((delta, None));
            }
            let (delta, metrics) = delta.optimize().await.map_err(Error::delta(name, "compacting"))?;
            Ok((delta, Some(metrics)))
        })
        .await?;
    if let Some(metrics) = compacted {
        tracing::info!(
            table = name,
            removed = metrics.num_files_removed,
            added = metrics.num_files_added,
            "compacted"
        );
        let vacuum = table.write(async |delta| {
            let vacuum = delta
                .vacuum()
                .with_retention_period(bounds.vacuum_after)
                .with_enforce_retention_duration(false);
            vacuum.await.map_err(Error::delta(name, "vacuuming"))
        });
        let deleted = vacuum.await?.files_deleted.len();
        tracing::info!(table = name, deleted, "vacuumed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        path::Path,
        sync::Arc,
        time::Duration,
    };

    use arrow::{
        array::{Int64Array, RecordBatch},
        datatypes::{DataType, Field, Schema},
    };

    use super::*;

    const COMMITS_AN_HOUR: u64 = 30;

    fn files(folder: &Path) -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_file()).collect()
    }

    /// Makes every file an hour older, and the log's entries say so too.
    fn an_hour_passes(folder: &Path) {
        for path in files(folder).into_iter().chain(files(&folder.join("_delta_log"))) {
            let file = File::options().write(true).open(path).unwrap();
            let modified = file.metadata().unwrap().modified().unwrap();
            file.set_modified(modified - Duration::from_secs(3_601)).unwrap();
        }
    }

    /// DESIGN §5 "few files", with 30 commits an hour instead of up to 7,200: what is kept is bounded by the commits of
    /// about an hour (log) and by `live_files_max` (data), however long it goes on.
    #[tokio::test]
    async fn hours_of_commits_leave_few_files() {
        let folder = tempfile::tempdir().unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let table = Table::open("t", folder.path(), Arc::clone(&schema)).await.unwrap();
        // Vacuum goes by the log's own times, which cannot be made older: no reader has pinned anything here.
        let bounds = Bounds { live_files_max: 10, vacuum_after: TimeDelta::zero() };
        let mut epoch = 0;
        for _hour in 0..4 {
            for _ in 0..COMMITS_AN_HOUR {
                epoch += 1;
                let rows = Int64Array::from(vec![i64::try_from(epoch).unwrap()]);
                let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(rows)]).unwrap();
                let staged = staged::write(table.folder(), "t", epoch, &[batch]).unwrap().unwrap();
                assert_eq!(table.append(epoch, epoch, &[staged]).await.unwrap(), crate::commit::Commit::Add);
                if epoch.is_multiple_of(15) {
                    maintain(&table, epoch, bounds).await.unwrap();
                }
            }
            an_hour_passes(folder.path());
        }
        let live = table
            .write(async |delta| {
                let live = delta.get_file_uris().unwrap().count();
                Ok((delta, live))
            })
            .await
            .unwrap();
        assert!(live <= 10 + 15, "{live} live files");
        let log = files(&folder.path().join("_delta_log")).len();
        let an_hour = usize::try_from(COMMITS_AN_HOUR).unwrap();
        assert!(log <= an_hour * 2, "{log} files of the log after {epoch} commits");
        let data = files(folder.path()).len();
        assert!(data <= 10 + 15 + 1, "{data} data files after {epoch} commits");
        let provider = table.provider().await.unwrap();
        let context = datafusion::prelude::SessionContext::new();
        table.register_store(&context).await.unwrap();
        let rows = context.read_table(provider).unwrap().count().await.unwrap();
        assert_eq!(u64::try_from(rows).unwrap(), epoch, "no row is lost");
    }
}
