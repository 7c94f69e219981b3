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
