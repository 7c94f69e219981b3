//! Is told of every epoch: keeps the dirty set in step with it, and closes the gate while its tables commit.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    compute::cast,
    datatypes::{DataType, TimeUnit, TimestampMicrosecondType},
};
use async_trait::async_trait;
use crave_flow::{EpochObserver, EpochSummary, Error, Result, failpoint};
use tokio::sync::OwnedMutexGuard;

use crate::{Dirty, DirtyWindow, Tables, connector::staged_rows, dirty::PendingCorrection};

/// The table of corrections and retractions: its rows make windows of other tables dirty.
pub(crate) const CORRECTIONS: &str = "corrections";

/// What the last decided epoch means for readers and repairs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Last epoch all tables hold.
    pub(crate) committed: u64,
    /// By table: windows that end at or before this (µs) are in the table.
    pub(crate) watermarks_us: BTreeMap<String, i64>,
    /// By job and partition: offset of `crave.events.v1` below which events are in the job's table.
    pub(crate) offsets: BTreeMap<String, BTreeMap<usize, u64>>,
    /// Rows that came late, by table.
    pub(crate) late_rows: BTreeMap<String, u64>,
}

/// See the module's head.
#[derive(Debug)]
pub struct Observer {
    tables: Arc<Tables>,
    dirty: Arc<Dirty>,
    decided: Arc<AtomicU64>,
    held: Mutex<Option<OwnedMutexGuard<()>>>,
    progress: Mutex<Progress>,
}

impl Observer {
    /// An observer; `decided` is shared with the [`DeltaConnector`](crate::DeltaConnector).
    #[must_use]
    pub fn new(tables: Arc<Tables>, dirty: Arc<Dirty>, decided: Arc<AtomicU64>) -> Self {
        Self { tables, dirty, decided, held: Mutex::default(), progress: Mutex::default() }
    }

    /// Last epoch that all tables hold; 0 before the first.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.progress().committed
    }

    /// Windows of `table` that end at or before this instant (µs since 1970) are in the table.
    #[must_use]
    pub fn watermark_us(&self, table: &str) -> i64 {
        self.progress().watermarks_us.get(table).copied().unwrap_or(i64::MIN)
    }

    /// Whether the record at `offset` of `crave.events.v1` is visible in the table `events`.
    #[must_use]
    pub fn is_stored(&self, partition: u32, offset: u64) -> bool {
        self.has_read("events", partition, offset)
    }

    /// Whether the job has read the record at `offset` of `crave.events.v1`, and its table holds what follows from it
    /// so far.
    #[must_use]
    pub fn has_read(&self, job: &str, partition: u32, offset: u64) -> bool {
        let progress = self.progress();
        let next = progress.offsets.get(job).and_then(|offsets| offsets.get(&(partition as usize)));
        next.is_some_and(|&next| offset < next)
    }

    /// Whether a repair of the job's table from `events` would add nothing that the job adds later (`windowed`: closed
    /// windows get only late rows, which make them dirty again), and miss nothing that it has added.
    pub(crate) fn is_level(&self, job: &str, windowed: bool) -> bool {
        let progress = self.progress();
        let (Some(bronze), Some(own)) = (progress.offsets.get("events"), progress.offsets.get(job)) else {
            return false;
        };
        own.iter().all(|(partition, own)| {
            let bronze = bronze.get(partition).copied().unwrap_or_default();
            *own == bronze || (windowed && *own < bronze)
        })
    }

    /// Rows that came too late for one of their windows, by table.
    #[must_use]
    pub fn late_rows(&self) -> BTreeMap<String, u64> {
        self.progress().late_rows.clone()
    }

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Delta table that a sink with these options writes: the last part of its path.
#[must_use]
pub fn table_of(options: &BTreeMap<String, String>) -> Option<&str> {
    options.get("path")?.trim_end_matches('/').rsplit('/').next()
}

#[async_trait]
impl EpochObserver for Observer {
    async fn decided(&self, epoch: &EpochSummary) -> Result<()> {
        let gate = Arc::clone(&self.tables.gate);
        if self.held.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            let guard = gate.lock_owned().await;
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
        }
        self.decided.store(epoch.epoch, Ordering::Release);
        let (mut windows, mut corrections) = (Vec::new(), Vec::new());
        for sink in &epoch.sinks {
            let Some(table) = table_of(&sink.options) else { continue };
            if let Some(batch) = &sink.dirty {
                windows.extend(dirty_windows(table, batch)?);
            }
            // Told again after a restart: what it made dirty may be in the set already, and its files compacted away.
            let added = epoch.replayed && self.dirty.epoch().map_err(external)? == epoch.epoch;
            if table == CORRECTIONS && !added {
                for batch in
                    self.tables.writer(table).and_then(|t| staged_rows(&t, &sink.staged)).map_err(external)?
                {
                    corrections.extend(pending_corrections(&batch)?);
                }
            }
        }
        if !windows.is_empty() || !corrections.is_empty() {
            let (dirty, number) = (Arc::clone(&self.dirty), epoch.epoch);
            let add = tokio::task::spawn_blocking(move || dirty.add(number, windows, corrections));
            add.await.map_err(external)?.map_err(external)?;
        }
        failpoint("after decision")
    }

    async fn committed(&self, epoch: &EpochSummary) -> Result<()> {
        {
            let mut progress = self.progress();
            if epoch.replayed {
                // Of the jobs that go on: one that starts anew has not come as far as its table's old version.
                *progress = Progress::default();
            }
            progress.committed = epoch.epoch;
            for sink in &epoch.sinks {
                let Some(table) = table_of(&sink.options) else { continue };
                // i64::MAX after a bounded source's end stays "everything".
                let micros = if sink.watermark_ns == i64::MAX {
                    i64::MAX
                } else {
                    sink.watermark_ns.div_euclid(1_000)
                };
                progress.watermarks_us.insert(table.into(), micros);
                progress.late_rows.insert(table.into(), sink.late_rows);
            }
            for source in &epoch.sources {
                let offsets = progress.offsets.entry(source.job.clone()).or_default();
                offsets.insert(source.partition, source.offset.unwrap_or_default());
            }
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }
}

/// Reads `window_start`, `window_end`, `user_id`.
fn dirty_windows(table: &str, batch: &RecordBatch) -> Result<Vec<DirtyWindow>> {
    let time = |name: &str| {
        let column = batch.column_by_name(name).ok_or_else(|| missing(table, name))?;
        cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None)).map_err(external)
    };
    let (starts, ends) = (time("window_start")?, time("window_end")?);
    let (starts, ends) =
        (starts.as_primitive::<TimestampMicrosecondType>(), ends.as_primitive::<TimestampMicrosecondType>());
    let users = batch.column_by_name("user_id").and_then(|c| c.as_string_opt::<i32>());
    let users = users.ok_or_else(|| missing(table, "user_id"))?;
    let window = |row: usize| DirtyWindow {
        table: table.into(),
        user_id: users.value(row).into(),
        start_us: starts.value(row),
        end_us: ends.value(row),
    };
    Ok((0..batch.num_rows()).filter(|&row| !users.is_null(row)).map(window).collect())
}

/// Reads `user_id`, `target`.
fn pending_corrections(batch: &RecordBatch) -> Result<Vec<PendingCorrection>> {
    let column = |name: &str| {
        let text = batch.column_by_name(name).and_then(|c| c.as_string_opt::<i32>());
        text.ok_or_else(|| missing(CORRECTIONS, name))
    };
    let pairs = column("user_id")?.iter().zip(column("target")?);
    let pending = pairs.filter_map(|(user, target)| {
        Some(PendingCorrection { user_id: user?.to_owned(), target: target?.to_owned() })
    });
    Ok(pending.collect())
}

fn missing(table: &str, column: &str) -> Error {
    Error::Invalid(format!(
        "table {table}: late rows cannot be repaired without column {column}; add it to the job"
    ))
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::connector("keeping the set of dirty windows", true, error)
}

#[cfg(test)]
mod tests {
    use crave_flow::{SinkEpoch, SourceOffset};
    use serde_json::json;

    use super::*;

    fn observer(folder: &std::path::Path) -> Observer {
        let dirty = Dirty::open(&folder.join("dirty")).unwrap();
        Observer::new(Arc::new(Tables::new(&folder.join("lake"))), Arc::new(dirty), Arc::default())
    }

    fn source(job: &str, partition: usize, offset: u64) -> SourceOffset {
        let (job, table) = (job.to_owned(), "events".to_owned());
        SourceOffset { job, table, partition, offset: Some(offset), watermark_ns: 0 }
    }

    #[tokio::test]
    async fn corrections_that_are_known_are_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let observer = observer(folder.path());
        observer.dirty.add(5, [], []).unwrap();
        let told = |epoch: u64| EpochSummary {
            epoch,
            sinks: vec![SinkEpoch {
                job: CORRECTIONS.into(),
                table: "out".into(),
                options: BTreeMap::from([("path".into(), "lake/corrections".into())]),
                watermark_ns: 0,
                dirty: None,
                late_rows: 0,
                staged: json!({ "files": [{ "name": "compacted-away.parquet" }] }),
            }],
            sources: Vec::new(),
            replayed: true,
        };
        observer.decided(&told(5)).await.unwrap();
        assert!(observer.decided(&told(6)).await.is_err(), "an epoch that was not added is read");
    }

    #[tokio::test]
    async fn a_job_is_level_with_bronze_where_both_have_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let observer = observer(folder.path());
        for (own, level, windowed) in [([5, 7], true, true), ([5, 6], false, true), ([6, 6], false, false)] {
            let sources = [("events", [5, 7]), ("own", own)];
            let sources = sources.iter().flat_map(|(job, at)| (0..2).map(move |p| source(job, p, at[p])));
            let summary =
                EpochSummary { epoch: 1, sinks: Vec::new(), sources: sources.collect(), replayed: true };
            EpochObserver::committed(&observer, &summary).await.unwrap();
            assert_eq!(
                (observer.is_level("own", false), observer.is_level("own", true)),
                (level, windowed),
                "{own:?}"
            );
        }
        assert!(!observer.is_level("another", true), "nothing is known of it");
    }
}
