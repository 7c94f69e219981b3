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
use crave_flow::{EpochObserver, EpochSummary, Error, Result};
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
            if table == CORRECTIONS {
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
        crate::failpoint("after decision");
        Ok(())
    }

    async fn committed(&self, epoch: &EpochSummary) -> Result<()> {
        {
            let mut progress = self.progress();
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
