//! Several programs in one process, with one checkpoint over all of them.
//!
//! [`Pipeline::start`] opens sources and sinks, puts state back and starts the tasks; [`PipelineHandle`] is how
//! the caller asks, stops and learns of a failure. `build` wires the tasks, `coordinator` runs the epochs.

mod build;
mod columns;
mod coordinator;
mod graph;
mod live;
mod messages;
mod sink_task;
mod source_task;
mod stage_task;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crave_schemas::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use crate::checkpoint::CheckpointStore;
use crate::{Connectors, EpochObserver, EpochSummary, Error, Program, Result};
use coordinator::Command;
use graph::Graph;
pub(crate) use graph::NodeCounters;
pub use graph::{NodeKind, NodeStatus};
pub(crate) use live::KeyIs;
pub use live::LiveTable;
use messages::Counters;
pub(crate) use source_task::SourceExprs;

/// How a pipeline runs.
#[derive(Clone, Debug)]
pub struct PipelineOptions {
    /// Tasks a windowed stage; any number fits any checkpoint.
    pub parallelism: usize,
    /// A checkpoint this often, when anything was read; `None`: only when asked and at the end.
    pub checkpoint_interval: Option<Duration>,
    /// A checkpoint each time a source partition has read this many rows.
    pub checkpoint_rows: Option<u64>,
    /// End, like [`PipelineHandle::stop_at_checkpoint`], at the first checkpoint.
    pub stop_at_first_checkpoint: bool,
    /// Batches that fit between two tasks before the first one waits.
    pub channel_batches: usize,
    /// Rows a batch that leaves a window.
    pub batch_rows: usize,
    /// A source partition silent for this long does not hold back the others' watermark; `None`: it does
    /// (heartbeats carry its time).
    pub idle_timeout: Option<Duration>,
    /// Tells how long the state of an updating query has been left alone.
    pub clock: Arc<dyn Clock>,
    /// Checkpoints kept; older ones and their files are deleted.
    pub keep_checkpoints: usize,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self {
            parallelism: std::thread::available_parallelism().map_or(1, usize::from),
            checkpoint_interval: Some(Duration::from_millis(500)),
            checkpoint_rows: None,
            stop_at_first_checkpoint: false,
            channel_batches: 8,
            batch_rows: 8192,
            idle_timeout: None,
            clock: Arc::new(SystemClock),
            keep_checkpoints: 3,
        }
    }
}

/// How a job began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStart {
    /// From the state of a checkpoint.
    Resumed {
        /// The epoch of it.
        epoch: u64,
    },
    /// From the start of its sources, with no state: there was none, or the program has changed. What it
    /// writes then repeats what an earlier version wrote, so give it a new table.
    Fresh {
        /// Whether state of another version was left behind.
        changed: bool,
    },
}

/// One job at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Name of the job.
    pub job: String,
    /// How it began.
    pub start: JobStart,
    /// Rows read since the start of the process.
    pub rows_in: u64,
    /// Rows written since the start of the process.
    pub rows_out: u64,
    /// Rows too late for a window since the job began with its state.
    pub late_rows: u64,
    /// Watermark at the sinks, the earliest of them (ns since 1970, UTC).
    pub watermark_ns: i64,
    /// Rows of state at the last checkpoint.
    pub state_rows: u64,
    /// Bytes of state files at the last checkpoint.
    pub state_bytes: u64,
    /// Its graph: sources, then stages, then sinks.
    pub nodes: Vec<NodeStatus>,
}

/// The pipeline at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineStatus {
    /// Its jobs.
    pub jobs: Vec<JobStatus>,
    /// The last decided epoch; 0 before the first.
    pub epoch: u64,
    /// When its checkpoint was complete (ms since 1970, UTC); `None` before the first of this process. None is taken
    /// while nothing is read.
    pub checkpoint_at_ms: Option<i64>,
    /// How long that took, from the barrier to the last commit (ms).
    pub checkpoint_took_ms: u64,
    /// Whether it has ended.
    pub finished: bool,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Programs that run together.
#[derive(Debug)]
pub struct Pipeline;

#[derive(Debug)]
struct JobInfo {
    name: String,
    start: JobStart,
    graph: Arc<Graph>,
    live: Vec<Arc<LiveTable>>,
}

/// A running pipeline. Dropping it ends the tasks without a checkpoint, as a crash would.
pub struct PipelineHandle {
    commands: mpsc::Sender<Command>,
    view: PipelineView,
    task: tokio::task::JoinHandle<()>,
}

/// Looks at a pipeline; does not keep it running.
#[derive(Clone, Debug)]
pub struct PipelineView {
    jobs: Arc<Vec<JobInfo>>,
    counters: Arc<Counters>,
    finished: watch::Receiver<bool>,
    outcome: Arc<Mutex<Option<Error>>>,
}

impl Pipeline {
    /// Starts `programs`: redoes the commits of the newest checkpoint in `store`, then goes on from it.
    ///
    /// # Errors
    /// When two programs share a name, a connector, table or checkpoint cannot be opened, or the observer or a
    /// sink refuses the redone epoch.
    pub async fn start<P: Into<Arc<Program>>>(
        programs: Vec<P>,
        connectors: &Connectors,
        store: CheckpointStore,
        observer: Option<Arc<dyn EpochObserver>>,
        options: PipelineOptions,
    ) -> Result<PipelineHandle> {
        let programs = programs.into_iter().map(Into::into).collect();
        let (coordinator, jobs) =
            Box::pin(build::build(programs, connectors, store, observer, options)).await?;
        let jobs = jobs.into_iter().map(|(name, start, graph, live)| JobInfo { name, start, graph, live });
        let jobs = Arc::new(jobs.collect());
        let (commands, receiver) = mpsc::channel(16);
        let (finish, finished) = watch::channel(false);
        let outcome = Arc::new(Mutex::new(None));
        let counters = coordinator.counters();
        let result = Arc::clone(&outcome);
        let task = tokio::spawn(async move {
            if let Err(error) = Box::pin(coordinator.run(receiver)).await {
                tracing::error!(error = %error, cause = ?error, "the pipeline failed");
                *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            finish.send_replace(true);
        });
        let view = PipelineView { jobs, counters, finished, outcome };
        Ok(PipelineHandle { commands, view, task })
    }
}

impl PipelineHandle {
    /// Takes a checkpoint now and gives its summary once all sinks have committed. After the end of a bounded
    /// pipeline: an error.
    ///
    /// # Errors
    /// When the pipeline has ended or fails meanwhile.
    pub async fn checkpoint(&self) -> Result<EpochSummary> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Checkpoint(reply), answer).await
    }

    /// Takes a checkpoint, commits it and ends; a later start goes on from there.
    ///
    /// # Errors
    /// When the pipeline has ended or fails meanwhile.
    pub async fn stop_at_checkpoint(&self) -> Result<EpochSummary> {
        let (reply, answer) = oneshot::channel();
        let summary = self.ask(Command::Stop(reply), answer).await?;
        self.join().await?;
        Ok(summary)
    }

    async fn ask(&self, command: Command, answer: oneshot::Receiver<EpochSummary>) -> Result<EpochSummary> {
        if self.commands.send(command).await.is_ok()
            && let Ok(summary) = answer.await
        {
            return Ok(summary);
        }
        self.join().await?;
        Err(Error::Invalid("the pipeline has ended".into()))
    }

    /// Waits for the end: of all bounded sources, of [`Self::stop_at_checkpoint`], or by a failure.
    ///
    /// # Errors
    /// The failure, the first time; later its text.
    pub async fn join(&self) -> Result<()> {
        let mut finished = self.view.finished.clone();
        let ended = finished.wait_for(|done| *done).await.is_ok();
        let mut outcome = self.view.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome.take() {
            Some(error) => {
                *outcome = Some(Error::Internal(format!("the pipeline failed: {}", full_text(&error))));
                Err(error)
            }
            None if ended => Ok(()),
            None => Err(Error::Internal("the pipeline's coordinator panicked".into())),
        }
    }

    /// What every job is doing.
    #[must_use]
    pub fn status(&self) -> PipelineStatus {
        self.view.status()
    }

    /// To look at it from elsewhere.
    #[must_use]
    pub fn view(&self) -> PipelineView {
        self.view.clone()
    }
}

impl PipelineView {
    /// The sinks of windowed queries, whose open windows can be looked at while the jobs run.
    #[must_use]
    pub fn live(&self) -> Vec<Arc<LiveTable>> {
        self.jobs.iter().flat_map(|job| job.live.iter().cloned()).collect()
    }

    /// What every job is doing, or did last.
    #[must_use]
    pub fn status(&self) -> PipelineStatus {
        let checkpoint_at_ms = self.counters.checkpoint_at_ms.load(Ordering::Relaxed);
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        PipelineStatus {
            jobs: self.jobs.iter().map(JobInfo::status).collect(),
            epoch: self.counters.epoch.load(Ordering::Relaxed),
            checkpoint_at_ms: (checkpoint_at_ms > 0).then_some(checkpoint_at_ms),
            checkpoint_took_ms: self.counters.checkpoint_took_ms.load(Ordering::Relaxed),
            // Its sender is gone with the task.
            finished: *self.finished.borrow() || self.finished.has_changed().is_err(),
            failure: outcome.as_ref().map(|e| full_text(e)),
        }
    }
}

impl JobInfo {
    fn status(&self) -> JobStatus {
        let nodes = self.graph.status();
        let of = |kind: NodeKind| nodes.iter().filter(move |node| node.kind == kind);
        let sum = |kind: NodeKind, value: fn(&NodeStatus) -> u64| of(kind).map(value).sum();
        JobStatus {
            job: self.name.clone(),
            start: self.start.clone(),
            rows_in: sum(NodeKind::Source, |node| node.rows_in),
            rows_out: sum(NodeKind::Sink, |node| node.rows_out),
            late_rows: sum(NodeKind::Stage, |node| node.late_rows),
            watermark_ns: of(NodeKind::Sink).map(|node| node.watermark_ns).min().unwrap_or(i64::MIN),
            state_rows: sum(NodeKind::Stage, |node| node.state_rows),
            state_bytes: sum(NodeKind::Stage, |node| node.state_bytes),
            nodes,
        }
    }
}

impl Drop for PipelineHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An error with its causes.
fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
