//! Recompute: the second execution of each table's one definition (DESIGN §2).
//!
//! Dirty windows are recomputed from `events_current` by the job's own SQL in batch and replace the stored
//! rows in one commit. Works in bounded chunks with the epoch gate closed, so that all tables stand at the
//! same epoch and the stream's commits wait at most one chunk.

mod sessions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    compute::cast,
    datatypes::{DataType, TimestampMicrosecondType},
};
use async_trait::async_trait;
use crave_flow::{Output, Program, WindowKind, failpoint};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, col, lit},
    prelude::{DataFrame, SessionConfig, SessionContext},
};
use serde::{Deserialize, Serialize};

use crate::{
    Dirty, DirtyWindow, Error, Observer, PendingCorrection, Table, Tables,
    observer::{CORRECTIONS, table_of},
};

/// Dirty windows taken into one chunk, at most.
const CHUNK_WINDOWS: usize = 4_096;
/// Users in one chunk, at most.
const CHUNK_USERS: usize = 64;
/// Corrections worked out in one go, at most.
const CORRECTIONS_MAX: usize = 512;
/// A window of a table that has none: one UTC day.
const DAY: WindowKind = WindowKind::Tumble { width_ns: 86_400_000_000_000 };

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// Corrections whose windows became known.
    pub corrections: usize,
    /// Windows recomputed.
    pub windows: usize,
}

/// Is told of recomputed rows, so that what was made from the old ones follows (RC-1).
#[async_trait]
pub trait Followers: std::fmt::Debug + Send + Sync {
    /// Whether anything is made from this table's rows.
    fn follow(&self, table: &str) -> bool;

    /// The stored rows `before` will be replaced by `after`, computed from `epoch`. Called again after a crash, with
    /// the same rows or newer ones.
    ///
    /// # Errors
    /// Then the rows are not replaced, and the windows stay dirty.
    async fn replacing(
        &self,
        table: &str,
        epoch: u64,
        before: &[RecordBatch],
        after: &[RecordBatch],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Keeps tables equal to their SQL.
#[derive(Debug)]
pub struct Repair {
    followers: Arc<dyn Followers>,
    tables: Arc<Tables>,
    dirty: Arc<Dirty>,
    observer: Arc<Observer>,
    jobs: RwLock<Vec<Arc<Job>>>,
}

/// One table that can be recomputed.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Name of the table.
    pub(crate) name: String,
    pub(crate) program: Arc<Program>,
    pub(crate) output: Output,
}

impl Job {
    fn windows(&self) -> WindowKind {
        self.output.windows.unwrap_or(DAY)
    }

    /// Columns that hold the start and the end of a row's window; for a table without windows, its time.
    pub(crate) fn bounds(&self) -> (&str, &str) {
        match (&self.output.window_start, &self.output.window_end) {
            (Some(start), Some(end)) => (start, end),
            _ => ("event_time", "event_time"),
        }
    }
}

impl Repair {
    /// Repairs nothing before [`Self::set_programs`].
    #[must_use]
    pub fn new(
        tables: Arc<Tables>,
        dirty: Arc<Dirty>,
        observer: Arc<Observer>,
        followers: Arc<dyn Followers>,
    ) -> Self {
        Self { followers, tables, dirty, observer, jobs: RwLock::default() }
    }

    /// Repairs the Delta outputs of `programs` from now on, apart from the bronze tables that repair reads.
    ///
    /// # Errors
    /// When an output cannot be recomputed a part at a time.
    pub fn set_programs(&self, programs: &[Arc<Program>]) -> Result<(), Error> {
        let mut jobs = Vec::new();
        for program in programs {
            for output in program.outputs() {
                let Some(name) = table_of(&output.table.options) else { continue };
                let by_user = output.keys.iter().any(|key| key.column == "user_id");
                if matches!(output.windows, Some(WindowKind::Session { .. }))
                    && !(output.every_window && by_user)
                {
                    return Err(Error::Invalid(format!(
                        "table {name}: a repair must see every session of a user: group by user_id too, and leave out \
                         HAVING, joins and ranks; filter where you read the table"
                    )));
                }
                if name != "events" && name != CORRECTIONS {
                    let (program, output) = (Arc::clone(program), output.clone());
                    jobs.push(Arc::new(Job { name: name.into(), program, output }));
                }
            }
        }
        *self.jobs.write().unwrap_or_else(PoisonError::into_inner) = jobs;
        Ok(())
    }

    /// Dirty windows by table: (closed and waiting for repair, not closed yet). Reads the whole set.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn dirty(&self) -> Result<BTreeMap<String, (u64, u64)>, Error> {
        let jobs = self.jobs();
        let closed_at = |table: &str| {
            let job = jobs.iter().find(|job| job.name == table);
            job.map_or(i64::MIN, |job| self.closed_at(job))
        };
        self.dirty.counts(closed_at)
    }

    pub(crate) fn jobs(&self) -> Vec<Arc<Job>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The job that writes the table; bronze tables are called as their jobs.
    #[must_use]
    pub fn job_of(&self, table: &str) -> String {
        let jobs = self.jobs();
        let job = jobs.iter().find(|job| job.name == table);
        job.map_or(table, |job| job.program.name()).to_owned()
    }

    /// The instant (µs) up to which the table's windows are closed.
    pub(crate) fn closed_at(&self, job: &Job) -> i64 {
        if job.output.windows.is_some() { self.observer.watermark_us(job.name.as_str()) } else { i64::MAX }
    }

    /// The table that the job writes now.
    pub(crate) fn table(&self, job: &Job) -> Result<Arc<Table>, Error> {
        self.tables.writer(&job.name)
    }

    /// Makes every correction and retraction so far count once more, for a table whose job has read the log anew.
    ///
    /// # Errors
    /// When the table of corrections cannot be read, or the disk fails.
    pub async fn correct_again(&self) -> Result<(), Error> {
        let table = self.tables.get(CORRECTIONS)?;
        let rows = stored(&table, lit(true)).await?;
        let mut corrections = BTreeSet::new();
        for batch in &rows {
            let text = |name: &str| {
                let column = batch.column_by_name(name).map(|c| cast(c, &DataType::Utf8));
                column
                    .unwrap_or_else(|| Err(arrow::error::ArrowError::SchemaError(format!("no {name}"))))
                    .map_err(Error::data(CORRECTIONS, "reading corrections"))
            };
            let (users, targets) = (text("user_id")?, text("target")?);
            let pairs = users.as_string::<i32>().iter().zip(targets.as_string::<i32>());
            corrections.extend(pairs.filter_map(|(user, target)| {
                Some(PendingCorrection { user_id: user?.into(), target: target?.into() })
            }));
        }
        self.dirty.add(self.dirty.epoch()?, [], corrections)
    }

    /// Whether what repairs read is being built anew: then they wait.
    fn waits(&self) -> bool {
        let building = self.tables.building();
        ["events", CORRECTIONS].iter().any(|name| building.iter().any(|b| b == name))
    }

    /// One bounded round over all tables; nothing left to do when both counts are 0.
    ///
    /// # Errors
    /// When a table fails; what is dirty stays dirty.
    pub async fn round(&self) -> Result<Repaired, Error> {
        if self.observer.committed() == 0 || self.waits() {
            return Ok(Repaired::default());
        }
        let mut done = Repaired { corrections: self.resolve_corrections().await?, windows: 0 };
        for job in &self.jobs() {
            let _gate = self.tables.gate.lock().await;
            if !self.is_ready(job).await? {
                continue;
            }
            let chunk = self.chunk(job)?;
            if chunk.is_empty() {
                continue;
            }
            let later = match job.windows() {
                WindowKind::Session { gap_ns } => {
                    self.recompute_sessions(job, &chunk, gap_ns / 1_000).await?
                }
                _ => {
                    self.recompute(job, &chunk).await?;
                    Vec::new()
                }
            };
            failpoint("after repair")?;
            self.dirty.replace(&chunk, &later)?;
            done.windows += chunk.len();
        }
        metrics::counter!("crave_repair_windows_total").increment(done.windows as u64);
        Ok(done)
    }

    /// Whether a round has work to do for the table; asked with the gate closed.
    pub(crate) async fn is_due(&self, job: &Job) -> Result<bool, Error> {
        if !self.chunk(job)?.is_empty() {
            return Ok(true);
        }
        let pending = self.dirty.corrections(CORRECTIONS_MAX)?;
        // Those whose target has not come wait for it, and concern nothing yet.
        Ok(!pending.is_empty() && !self.instants(&pending).await?.is_empty())
    }

    /// Rounds until nothing closed is dirty.
    ///
    /// # Errors
    /// As [`Repair::round`].
    pub async fn drain(&self) -> Result<Repaired, Error> {
        let mut total = Repaired::default();
        loop {
            let round = self.round().await?;
            total.corrections += round.corrections;
            total.windows += round.windows;
            if round == Repaired::default() {
                return Ok(total);
            }
        }
    }

    /// Whether the table may be compared with `events` as both are now: both have read the log equally far, and a table
    /// that was begun anew has been written by its own job.
    async fn is_ready(&self, job: &Job) -> Result<bool, Error> {
        if !self.observer.is_level(job.program.name(), job.output.windows.is_some()) {
            return Ok(false);
        }
        Ok(!self.tables.building().contains(&job.name) || self.table(job)?.committed().await?.is_some())
    }

    fn chunk(&self, job: &Job) -> Result<Vec<DirtyWindow>, Error> {
        let closed = self.dirty.closed(job.name.as_str(), self.closed_at(job), CHUNK_WINDOWS)?;
        let mut users = BTreeSet::new();
        let within = closed.into_iter().take_while(|w| {
            users.insert(w.user_id.clone());
            users.len() <= CHUNK_USERS
        });
        Ok(within.collect())
    }

    /// Recomputes the smallest rectangle of users and time that holds all windows of the chunk.
    async fn recompute(&self, job: &Job, chunk: &[DirtyWindow]) -> Result<(), Error> {
        let users: BTreeSet<&str> = chunk.iter().map(|w| w.user_id.as_str()).collect();
        let start = chunk.iter().map(|w| w.start_us).min().unwrap_or_default();
        let end = chunk.iter().map(|w| w.end_us).max().unwrap_or_default();
        let of_users = col("user_id").in_list(users.into_iter().map(lit).collect(), false);
        let in_time = col("event_time").gt_eq(instant(start)).and(col("event_time").lt(instant(end)));
        let computed = self.batch(job, Some(of_users.clone()), Some(in_time)).await?;
        let (starts, ends) = job.bounds();
        let below = if starts == ends { col(ends).lt(instant(end)) } else { col(ends).lt_eq(instant(end)) };
        let rectangle = of_users.and(col(starts).gt_eq(instant(start))).and(below);
        let rows = rows_of(job, computed, rectangle.clone()).await?;
        self.replace(job, rectangle, rows).await
    }

    /// Puts recomputed rows in the place of those that match, once their followers know.
    async fn replace(&self, job: &Job, matching: Expr, rows: Vec<RecordBatch>) -> Result<(), Error> {
        let table = self.table(job)?;
        let rows = rows.iter().map(|batch| table.conform(batch)).collect::<Result<Vec<_>, _>>()?;
        if self.followers.follow(job.name.as_str()) {
            let before = stored(&table, matching.clone()).await?;
            let told = self.followers.replacing(job.name.as_str(), self.observer.committed(), &before, &rows);
            told.await.map_err(Error::data(job.name.as_str(), "telling what follows its rows"))?;
        }
        failpoint("before repair")?;
        table.replace(matching, rows).await
    }

    /// The job's SQL in batch over `events_current`, in the stored column types.
    pub(crate) async fn batch(
        &self,
        job: &Job,
        users: Option<Expr>,
        time: Option<Expr>,
    ) -> Result<DataFrame, Error> {
        let name = job.name.as_str();
        let failed = |doing| Error::data(name, doing);
        let context = self.context(users).await?;
        let mut current = context.table("events_current").await.map_err(failed("reading events_current"))?;
        if let Some(time) = time {
            current = current.filter(time).map_err(failed("reading events_current"))?;
        }
        let source = job.program.sources().next().map(|s| s.name.clone()).unwrap_or_default();
        let batch = SessionContext::new_with_state(context.state());
        batch.deregister_table(source.as_str()).map_err(failed("naming the source"))?;
        batch.register_table(source.as_str(), current.into_view()).map_err(failed("naming the source"))?;
        let outputs = job.program.batch(&batch).await?;
        let found = outputs.into_iter().find(|(table, _)| table.name == job.output.table.name);
        let (_, frame) =
            found.ok_or_else(|| Error::Invalid(format!("table {name}: its job no longer writes it")))?;
        let table = self.table(job)?;
        let stored = table.schema().fields().iter().map(|field| {
            datafusion::logical_expr::cast(col(field.name()), field.data_type().clone()).alias(field.name())
        });
        frame.select(stored).map_err(failed("naming the columns"))
    }

    /// A session with `events`, `corrections` and `events_current`, of some users or of all.
    async fn context(&self, users: Option<Expr>) -> Result<SessionContext, Error> {
        let config = SessionConfig::new()
            .set_bool("datafusion.execution.parquet.schema_force_view_types", false)
            .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
        let context = SessionContext::new_with_config(config);
        crave_udfs::register(&context);
        for name in ["events", CORRECTIONS] {
            let table = self.tables.get(name)?;
            table.register_store(&context).await?;
            let failed = |doing| Error::data(name, doing);
            let mut frame = context.read_table(table.provider().await?).map_err(failed("scanning"))?;
            if let Some(users) = &users {
                frame = frame.filter(users.clone()).map_err(failed("filtering"))?;
            }
            context.register_table(name, frame.into_view()).map_err(failed("scanning"))?;
        }
        let failed = |doing| Error::data("events_current", doing);
        let current = context.sql(EVENTS_CURRENT).await.map_err(failed("planning"))?;
        context.register_table("events_current", current.into_view()).map_err(failed("planning"))?;
        Ok(context)
    }

    /// Works out which windows corrections touch: those of the target as first sent, and of each of its
    /// revisions. A correction whose target has not come yet waits.
    async fn resolve_corrections(&self) -> Result<usize, Error> {
        let pending = self.dirty.corrections(CORRECTIONS_MAX)?;
        if pending.is_empty() {
            return Ok(0);
        }
        let _gate = self.tables.gate.lock().await;
        let instants = self.instants(&pending).await?;
        let known: Vec<_> = pending.into_iter().filter(|p| instants.contains_key(p)).collect();
        let (mut windows, jobs) = (BTreeSet::new(), self.jobs());
        for (correction, at) in known.iter().flat_map(|p| instants[p].iter().map(move |at| (p, *at))) {
            for job in &jobs {
                windows.extend(job.windows().windows(at.saturating_mul(1_000)).map(|(start, end)| {
                    DirtyWindow {
                        table: job.name.clone(),
                        user_id: correction.user_id.clone(),
                        start_us: start / 1_000,
                        end_us: end / 1_000,
                    }
                }));
            }
        }
        failpoint("before resolve")?;
        self.dirty.resolve(&known, &windows.into_iter().collect::<Vec<_>>())?;
        Ok(known.len())
    }

    /// Event times (µs) of the targets that have come, and of all their revisions.
    async fn instants(
        &self,
        pending: &[PendingCorrection],
    ) -> Result<BTreeMap<PendingCorrection, Vec<i64>>, Error> {
        let failed = |doing| Error::data(CORRECTIONS, doing);
        let users: BTreeSet<_> = pending.iter().map(|p| p.user_id.as_str()).collect();
        let targets: Vec<_> = pending.iter().map(|p| lit(p.target.as_str())).collect();
        let context =
            self.context(Some(col("user_id").in_list(users.into_iter().map(lit).collect(), false))).await?;
        let times = async |table: &str, id: &str| {
            let frame = context.table(table).await?.filter(col(id).in_list(targets.clone(), false))?;
            Box::pin(frame.select(vec![col("user_id"), col(id), col("event_time")])?.collect()).await
        };
        let originals = times("events", "event_id").await.map_err(failed("finding targets"))?;
        let revisions = times(CORRECTIONS, "target").await.map_err(failed("finding revisions"))?;
        let mut instants = BTreeMap::<PendingCorrection, Vec<i64>>::new();
        for (batch, original) in
            originals.iter().map(|b| (b, true)).chain(revisions.iter().map(|b| (b, false)))
        {
            let text = |column: usize| {
                cast(batch.column(column), &DataType::Utf8).map_err(Error::data(CORRECTIONS, "reading ids"))
            };
            let (users, ids) = (text(0)?, text(1)?);
            let (users, ids) = (users.as_string::<i32>(), ids.as_string::<i32>());
            let at = batch.column(2).as_primitive::<TimestampMicrosecondType>();
            for row in (0..batch.num_rows()).filter(|&row| !at.is_null(row)) {
                let key =
                    PendingCorrection { user_id: users.value(row).into(), target: ids.value(row).into() };
                if original {
                    instants.entry(key).or_default().push(at.value(row));
                } else if let Some(known) = instants.get_mut(&key) {
                    known.push(at.value(row));
                }
            }
        }
        Ok(instants)
    }
}

/// The computed rows that match.
async fn rows_of(job: &Job, computed: DataFrame, matching: Expr) -> Result<Vec<RecordBatch>, Error> {
    let failed = |doing| Error::data(job.name.as_str(), doing);
    let rows = computed.filter(matching).map_err(failed("recomputing"))?;
    Box::pin(rows.collect()).await.map_err(failed("recomputing"))
}

/// The table's rows that match.
async fn stored(table: &Table, matching: Expr) -> Result<Vec<RecordBatch>, Error> {
    let context = SessionContext::new();
    table.register_store(&context).await?;
    let failed = |doing| Error::data(table.name(), doing);
    let frame = context.read_table(table.provider().await?).map_err(failed("scanning"))?;
    let frame = frame.filter(matching).map_err(failed("filtering"))?;
    Box::pin(frame.collect()).await.map_err(failed("reading"))
}

/// `events_current`, the one definition that repair, verify and analytics share.
const EVENTS_CURRENT: &str = include_str!("../../../sql/lake/events_current.sql");

fn instant(micros: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
}

impl Repair {
    /// Windows of the table that are still to be repaired.
    pub(crate) fn still_dirty(&self, job: &Job) -> Result<Vec<DirtyWindow>, Error> {
        self.dirty.of(&job.name)
    }

    pub(crate) fn gate(&self) -> &tokio::sync::Mutex<()> {
        &self.tables.gate
    }
}
