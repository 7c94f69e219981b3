//! Runs the epochs: barrier, staged sinks, durable checkpoint, commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{AsArray, RecordBatch, TimestampNanosecondArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema, TimestampNanosecondType};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::PipelineOptions;
use super::graph::NodeCounters;
use super::live::Peek;
use super::messages::{Ack, Counters, SinkCommand, SourceCommand, WantFull};
use crate::aggregate::distinct_rows;
use crate::checkpoint::{CheckpointStore, JobState, LateRows, Manifest, Run, SinkState, StageState, VERSION};
use crate::operator::Snapshot;
use crate::plan::LateKeys;
use crate::{EpochObserver, EpochSummary, Error, Result, SinkEpoch, SourceOffset, TableDef, WindowKind};

/// More state files than this are written anew as one.
const RUNS_MAX: usize = 32;
/// Epoch numbers promised at a time.
const EPOCHS_RESERVED: u64 = 4096;

/// What a handle asks for.
pub(super) enum Command {
    Checkpoint(oneshot::Sender<EpochSummary>),
    Stop(oneshot::Sender<EpochSummary>),
}

/// Source tasks that read for several jobs.
pub(super) struct Group {
    pub(super) partitions: usize,
    /// (job, name of the table in it).
    pub(super) readers: Vec<(usize, String)>,
}

/// The tasks of one stage.
pub(super) struct StageTasks {
    pub(super) sink: usize,
    /// The sources whose rows reach it, as one name.
    pub(super) source: String,
    /// How its late keys are told to the sink.
    pub(super) late: LateKeys,
    pub(super) tasks: usize,
    pub(super) runs: Vec<Run>,
    pub(super) want_full: Arc<WantFull>,
    pub(super) counters: Arc<NodeCounters>,
    /// By task: where to ask for its open windows.
    pub(super) peeks: Vec<mpsc::Sender<Peek>>,
}

/// The task of one sink.
pub(super) struct SinkTasks {
    pub(super) table: TableDef,
    pub(super) commands: mpsc::Sender<SinkCommand>,
}

/// The tasks of one job.
pub(super) struct JobTasks {
    pub(super) name: String,
    pub(super) identity: String,
    pub(super) stages: Vec<StageTasks>,
    pub(super) sinks: Vec<SinkTasks>,
}

/// What the tasks said at one barrier.
struct Collected {
    /// By group and partition.
    sources: Vec<Vec<(Option<u64>, i64)>>,
    /// By job, stage and task.
    stages: Vec<Vec<Vec<(i64, Snapshot)>>>,
    /// By job and sink.
    sinks: Vec<Vec<(i64, serde_json::Value)>>,
}

/// How a task ended.
type Ended = Result<Result<()>, tokio::task::JoinError>;

/// How long the cause of a failure may come after its first effect.
const CAUSE_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

pub(super) struct Coordinator {
    store: CheckpointStore,
    observer: Option<Arc<dyn EpochObserver>>,
    options: PipelineOptions,
    tasks: JoinSet<Result<()>>,
    acks: mpsc::Receiver<Ack>,
    sources: Vec<mpsc::Sender<SourceCommand>>,
    groups: Vec<Group>,
    jobs: Vec<JobTasks>,
    counters: Arc<Counters>,
    kept: Vec<Manifest>,
    next_epoch: u64,
    reserved_to: u64,
    ended: usize,
    due: bool,
    activity_seen: u64,
}

impl Coordinator {
    #[expect(clippy::too_many_arguments, reason = "one caller, which has just made each of them")]
    pub(super) async fn new(
        store: CheckpointStore,
        observer: Option<Arc<dyn EpochObserver>>,
        options: PipelineOptions,
        tasks: JoinSet<Result<()>>,
        acks: mpsc::Receiver<Ack>,
        sources: Vec<mpsc::Sender<SourceCommand>>,
        groups: Vec<Group>,
        jobs: Vec<JobTasks>,
        counters: Arc<Counters>,
        kept: Vec<Manifest>,
    ) -> Result<Self> {
        let next_epoch = store.reserve(kept.last().map_or(1, |m| m.epoch + 1), EPOCHS_RESERVED).await?;
        let reserved_to = next_epoch + EPOCHS_RESERVED;
        Ok(Self {
            store,
            observer,
            options,
            tasks,
            acks,
            sources,
            groups,
            jobs,
            counters,
            kept,
            next_epoch,
            reserved_to,
            ended: 0,
            due: false,
            activity_seen: 0,
        })
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Result<()> {
        let mut timer = self.options.checkpoint_interval.map(|period| {
            let mut timer = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
            timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            timer
        });
        loop {
            if self.ended == self.sources.len() {
                self.checkpoint().await?;
                return Ok(());
            }
            if std::mem::take(&mut self.due) {
                self.checkpoint().await?;
                if self.options.stop_at_first_checkpoint {
                    return Ok(());
                }
                continue;
            }
            let tick = async {
                match &mut timer {
                    Some(timer) => {
                        timer.tick().await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                done = self.tasks.join_next() => return Err(failure(&mut self.tasks, done).await),
                Some(ack) = self.acks.recv() => self.note(&ack),
                command = commands.recv() => match command {
                    Some(Command::Checkpoint(reply)) => {
                        let summary = self.checkpoint().await?;
                        let _ = reply.send(summary);
                    }
                    Some(Command::Stop(reply)) => {
                        let summary = self.checkpoint().await?;
                        let _ = reply.send(summary);
                        return Ok(());
                    }
                    None => return Ok(()),
                },
                () = tick => {
                    let activity = self.counters.activity.load(Ordering::Relaxed);
                    if activity != self.activity_seen {
                        self.checkpoint().await?;
                        if self.options.stop_at_first_checkpoint {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    fn note(&mut self, ack: &Ack) {
        match ack {
            Ack::Ended => self.ended += 1,
            Ack::Due => self.due = true,
            other => tracing::warn!(?other, "an answer to no question"),
        }
    }

    async fn checkpoint(&mut self) -> Result<EpochSummary> {
        let since = tokio::time::Instant::now();
        if self.next_epoch == self.reserved_to {
            self.store.reserve(self.next_epoch, EPOCHS_RESERVED).await?;
            self.reserved_to += EPOCHS_RESERVED;
        }
        let epoch = self.next_epoch;
        self.next_epoch += 1;
        self.due = false;
        self.activity_seen = self.counters.activity.load(Ordering::Relaxed);
        for source in &self.sources {
            if source.send(SourceCommand::Barrier(epoch)).await.is_err() {
                let done = self.tasks.join_next().await;
                return Err(failure(&mut self.tasks, done).await);
            }
        }
        let collected = self.collect().await?;
        let manifest = self.persist(epoch, collected).await?;
        self.store.decide(&manifest).await?;
        self.counters.epoch.store(epoch, Ordering::Relaxed);
        let summary = summary(&manifest, &self.store, false).await?;
        if let Some(observer) = &self.observer {
            observer.decided(&summary).await?;
        }
        self.commit(&manifest).await?;
        if let Some(observer) = &self.observer {
            observer.committed(&summary).await?;
        }
        let took = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.counters.checkpoint_took_ms.store(took, Ordering::Relaxed);
        let now = self.options.clock.now().timestamp_millis();
        self.counters.checkpoint_at_ms.store(now, Ordering::Relaxed);
        self.kept.push(manifest);
        let surplus = self.kept.len().saturating_sub(self.options.keep_checkpoints.max(1));
        if surplus > 0 {
            self.kept.drain(..surplus);
            self.store.clean(&self.kept).await?;
        }
        Ok(summary)
    }

    /// Waits until every task has answered the barrier.
    async fn collect(&mut self) -> Result<Collected> {
        let none = || (None, i64::MIN);
        let mut all = Collected {
            sources: self.groups.iter().map(|g| (0..g.partitions).map(|_| none()).collect()).collect(),
            stages: self.jobs.iter().map(|j| j.stages.iter().map(|_| Vec::new()).collect()).collect(),
            sinks: self
                .jobs
                .iter()
                .map(|j| j.sinks.iter().map(|_| (i64::MIN, serde_json::Value::Null)).collect())
                .collect(),
        };
        let stages: usize = self.jobs.iter().flat_map(|j| j.stages.iter().map(|s| s.tasks)).sum();
        let sinks: usize = self.jobs.iter().map(|j| j.sinks.len()).sum();
        let mut missing = self.sources.len() + stages + sinks;
        while missing > 0 {
            let ack = tokio::select! {
                done = self.tasks.join_next() => return Err(failure(&mut self.tasks, done).await),
                Some(ack) = self.acks.recv() => ack,
            };
            missing -= 1;
            match ack {
                Ack::Source { group, partition, offset, watermark_ns } => {
                    all.sources[group][partition] = (offset, watermark_ns);
                }
                Ack::Stage { job, stage, watermark_ns, snapshot } => {
                    all.stages[job][stage].push((watermark_ns, snapshot));
                }
                Ack::Sink { job, sink, watermark_ns, staged } => {
                    all.sinks[job][sink] = (watermark_ns, staged);
                }
                other => {
                    missing += 1;
                    // A share of rows read meanwhile is part of this checkpoint or asks again.
                    self.note(&other);
                }
            }
        }
        Ok(all)
    }

    /// Writes state and late keys, and gives the checkpoint that names them.
    async fn persist(&mut self, epoch: u64, collected: Collected) -> Result<Manifest> {
        let mut manifest = Manifest { version: VERSION, epoch, jobs: BTreeMap::new() };
        let Collected { sources, stages, sinks } = collected;
        for (index, ((job, stages), sinks)) in self.jobs.iter_mut().zip(stages).zip(sinks).enumerate() {
            let mut state = JobState { identity: job.identity.clone(), ..JobState::default() };
            for (group, partitions) in self.groups.iter().zip(&sources) {
                for (_, table) in group.readers.iter().filter(|r| r.0 == index) {
                    let offset =
                        |(partition, &(offset, watermark_ns)): (usize, &(Option<u64>, i64))| SourceOffset {
                            job: job.name.clone(),
                            table: table.clone(),
                            partition,
                            offset,
                            watermark_ns,
                        };
                    state.sources.extend(partitions.iter().enumerate().map(offset));
                }
            }
            let before = self.kept.last().and_then(|m| m.jobs.get(&job.name));
            let before = before.filter(|before| before.identity == job.identity);
            let mut dirty = job.sinks.iter().map(|_| Vec::new()).collect::<Vec<_>>();
            let mut late = vec![0; job.sinks.len()];
            for (at, (stage, answers)) in job.stages.iter_mut().zip(stages).enumerate() {
                let file = format!("state-{}-{at}-{epoch:020}", file_name(&job.name));
                let (stage_state, found) = persist_stage(&self.store, stage, &file, answers).await?;
                late[stage.sink] += stage_state.late_rows;
                let sink = &job.sinks[stage.sink].table;
                for batch in found {
                    dirty[stage.sink].push(in_sink_terms(sink, &stage.late, &batch)?);
                }
                count_late(&mut state.late, &job.name, &stage.source, &sink.name, stage_state.late_rows);
                let runs = || stage_state.runs.iter();
                stage.counters.holds(runs().map(|r| r.rows).sum(), runs().map(|r| r.bytes).sum());
                state.stages.push(stage_state);
            }
            for (((sink, (watermark_ns, staged)), dirty), late_rows) in
                job.sinks.iter().zip(sinks).zip(dirty).zip(late)
            {
                let mut file = None;
                if let Some(keys) = distinct(&dirty)? {
                    let name = format!(
                        "late-{}-{}-{epoch:020}.parquet",
                        file_name(&job.name),
                        file_name(&sink.table.name)
                    );
                    self.store.write(&name, 0, vec![keys]).await?;
                    file = Some(name);
                }
                let options = sink.table.options.clone();
                let sink_state = SinkState { options, watermark_ns, late_rows, staged, dirty: file };
                state.sinks.insert(sink.table.name.clone(), sink_state);
            }
            let now_ms = self.options.clock.now().timestamp_millis();
            see_late(
                &mut state.late,
                before.map(|before| before.late.as_slice()).unwrap_or_default(),
                now_ms,
            );
            manifest.jobs.insert(job.name.clone(), state);
        }
        Ok(manifest)
    }

    async fn commit(&mut self, manifest: &Manifest) -> Result<()> {
        for job in &self.jobs {
            for sink in &job.sinks {
                let state = manifest.jobs.get(&job.name).and_then(|j| j.sinks.get(&sink.table.name));
                let Some(state) = state.filter(|s| !s.staged.is_null()) else { continue };
                let (reply, answer) = oneshot::channel();
                let staged = state.staged.clone();
                let command = SinkCommand::Commit { epoch: manifest.epoch, staged, reply };
                if sink.commands.send(command).await.is_err() || answer.await.is_err() {
                    let done = self.tasks.join_next().await;
                    return Err(failure(&mut self.tasks, done).await);
                }
            }
        }
        Ok(())
    }
}

/// Adds the late rows of a stage to those of its source and table.
fn count_late(late: &mut Vec<LateRows>, job: &str, source: &str, table: &str, rows: u64) {
    match late.iter_mut().find(|l| l.source == source && l.table == table) {
        Some(known) => known.rows += rows,
        None => late.push(LateRows {
            job: job.to_owned(),
            source: source.to_owned(),
            table: table.to_owned(),
            rows,
            last_seen_ms: None,
        }),
    }
}

/// Tells when rows were last late: now, where there are more than in the checkpoint before.
fn see_late(late: &mut [LateRows], before: &[LateRows], now_ms: i64) {
    for late in late {
        let known = before.iter().find(|b| b.source == late.source && b.table == late.table);
        let grown = late.rows > known.map_or(0, |b| b.rows);
        late.last_seen_ms = if grown { Some(now_ms) } else { known.and_then(|b| b.last_seen_ms) };
    }
}

async fn persist_stage(
    store: &CheckpointStore,
    stage: &mut StageTasks,
    file: &str,
    answers: Vec<(i64, Snapshot)>,
) -> Result<(StageState, Vec<RecordBatch>)> {
    let mut full = stage.want_full.get();
    let (mut parts, mut dirty, mut held, mut late_rows) = (Vec::new(), Vec::new(), 0, 0);
    let mut watermark_ns = i64::MAX;
    for (watermark, snapshot) in answers {
        watermark_ns = watermark_ns.min(watermark);
        parts.extend(snapshot.parts);
        held += snapshot.rows;
        full |= snapshot.whole;
        late_rows += snapshot.late_rows;
        dirty.extend(snapshot.dirty);
    }
    if full || held == 0 {
        stage.runs.clear();
    }
    if held > 0 {
        for (table, parts) in by_table(parts) {
            stage.runs.push(store.write(&format!("{file}-{table}.parquet"), table, parts).await?);
        }
    }
    let written: usize = stage.runs.iter().map(|r| r.rows).sum();
    // Rows of closed panes and repeated keys: writing anew costs no more than what was written since.
    stage.want_full.set(stage.runs.len() > RUNS_MAX || written > 2 * held + 4096);
    Ok((StageState { watermark_ns, late_rows, runs: stage.runs.clone() }, dirty))
}

fn by_table(parts: Vec<(usize, RecordBatch)>) -> BTreeMap<usize, Vec<RecordBatch>> {
    let mut tables: BTreeMap<usize, Vec<RecordBatch>> = BTreeMap::new();
    for (table, part) in parts {
        tables.entry(table).or_default().push(part);
    }
    tables
}

/// Late windows and keys of a stage under the sink's names and types.
fn in_sink_terms(table: &TableDef, late: &LateKeys, batch: &RecordBatch) -> Result<RecordBatch> {
    let batch = &late.outer.iter().try_fold(batch.clone(), |batch, kind| in_windows(&batch, *kind))?;
    let mut fields = batch.schema().fields()[..2].to_vec();
    let mut columns = batch.columns()[..2].to_vec();
    for &(key, column) in &late.columns {
        let field = table.physical.field(column);
        fields.push(Arc::new(Field::new(field.name(), field.data_type().clone(), true)));
        columns.push(arrow::compute::cast(batch.column(2 + key), field.data_type())?);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The windows of `kind` that hold the last instant of each window of the batch.
fn in_windows(batch: &RecordBatch, kind: WindowKind) -> Result<RecordBatch> {
    let (mut rows, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let inner = batch.column(1).as_primitive::<TimestampNanosecondType>().values();
    for (row, &inner) in (0_u32..).zip(inner) {
        for (start, end) in kind.windows(inner.saturating_sub(1)) {
            rows.push(row);
            starts.push(start);
            ends.push(end);
        }
    }
    let mut columns = take_record_batch(batch, &UInt32Array::from(rows))?.columns().to_vec();
    columns[0] = Arc::new(TimestampNanosecondArray::from(starts));
    columns[1] = Arc::new(TimestampNanosecondArray::from(ends));
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

fn distinct(parts: &[RecordBatch]) -> Result<Option<RecordBatch>> {
    let Some(first) = parts.first() else { return Ok(None) };
    distinct_rows(&concat_batches(&first.schema(), parts)?).map(Some)
}

/// What is told of a checkpoint.
pub(super) async fn summary(
    manifest: &Manifest,
    store: &CheckpointStore,
    replayed: bool,
) -> Result<EpochSummary> {
    let (mut sinks, mut sources) = (Vec::new(), Vec::new());
    for (job, state) in &manifest.jobs {
        sources.extend(state.sources.iter().cloned());
        for (table, sink) in &state.sinks {
            let dirty = match &sink.dirty {
                None => None,
                Some(file) => {
                    let parts = store.read(file).await?;
                    parts.first().map(|b| concat_batches(&b.schema(), &parts)).transpose()?
                }
            };
            sinks.push(SinkEpoch {
                job: job.clone(),
                table: table.clone(),
                options: sink.options.clone(),
                watermark_ns: sink.watermark_ns,
                dirty,
                late_rows: sink.late_rows,
                staged: sink.staged.clone(),
            });
        }
    }
    Ok(EpochSummary { epoch: manifest.epoch, sinks, sources, replayed })
}

/// A name that any file system takes; other characters are written as their number.
fn file_name(name: &str) -> String {
    use std::fmt::Write;
    name.chars().fold(String::new(), |mut out, c| {
        if c.is_ascii_alphanumeric() || c == '_' {
            out.push(c);
        } else {
            let _ = write!(out, "%{:x}", u32::from(c));
        }
        out
    })
}

/// Why the pipeline cannot go on. Tasks that lose a neighbour end as well, and may be seen first: the cause is the
/// first error that is not of that kind.
async fn failure(tasks: &mut JoinSet<Result<()>>, mut done: Option<Ended>) -> Error {
    let mut lesser = Error::Internal("a task ended early".into());
    while let Some(ended) = done {
        match ended {
            Ok(Err(Error::Internal(text))) => lesser = Error::Internal(text),
            Ok(Err(error)) => return error,
            Err(error) => return Error::Internal(format!("a task died: {error}")),
            Ok(Ok(())) => {}
        }
        // The one that failed has ended or is about to; others may wait for input for ever.
        done = tokio::time::timeout(CAUSE_WITHIN, tasks.join_next()).await.ok().flatten();
    }
    lesser
}
