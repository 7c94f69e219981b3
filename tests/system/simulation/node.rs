//! One life of a node: the same parts as `src/node` composes, on what is durable, until it dies or is stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use crave_connect::{Admit, LogConnector, log::EventLog};
use crave_flow::{
    CheckpointStore, Connector, Connectors, EpochObserver, EpochSummary, Pipeline, PipelineHandle,
    PipelineOptions, Program, Result, Sink, SinkContext, Source, TableDef,
};
use crave_schemas::{Clock as _, ManualClock};
use crave_tables::{DeltaConnector, Dirty, Followers, Observer, Repair, Tables};

use super::log::SimLog;

const JOBS: &[(&str, &str)] = &[
    ("events", include_str!("../../../sql/jobs/events.sql")),
    ("corrections", include_str!("../../../sql/jobs/corrections.sql")),
    ("cravings", include_str!("../../../sql/jobs/cravings.sql")),
    ("recency", include_str!("../../../sql/jobs/recency.sql")),
    ("daily_parts", include_str!("../../../sql/jobs/daily_parts.sql")),
    ("trend_parts", include_str!("../../../sql/jobs/trend_parts.sql")),
    ("memories", include_str!("../../../sql/jobs/memories.sql")),
    ("spells", include_str!("spells.sql")),
];

/// What outlives a node.
#[derive(Debug)]
pub(super) struct Durable {
    pub(super) folder: tempfile::TempDir,
    pub(super) log: Arc<SimLog>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// What must never happen twice, or go back; of all lives.
#[derive(Debug, Default)]
pub(super) struct Seen {
    decided: u64,
    staged: BTreeSet<(String, u64)>,
    watermarks: BTreeMap<String, i64>,
    late: BTreeMap<String, u64>,
}

pub(super) struct Node {
    pub(super) tables: Arc<Tables>,
    pub(super) observer: Arc<Observer>,
    pub(super) repair: Arc<Repair>,
    pub(super) admit: Admit,
    pub(super) jobs: PipelineHandle,
    connectors: Connectors,
    recorder: Arc<Recorder>,
    options: PipelineOptions,
    durable: Arc<Durable>,
}

impl Node {
    /// Opens what is durable and starts the jobs.
    pub(super) async fn start(durable: &Arc<Durable>, options: PipelineOptions) -> Result<Self, String> {
        let home = durable.folder.path();
        let tables = Arc::new(Tables::new(&home.join("lake")));
        let dirty = Dirty::open(&home.join("dirty")).map_err(|e| format!("{e:?}"))?;
        let dirty = Arc::new(dirty);
        let decided = Arc::new(AtomicU64::new(0));
        let observer = Arc::new(Observer::new(Arc::clone(&tables), Arc::clone(&dirty), Arc::clone(&decided)));
        let repair = Repair::new(Arc::clone(&tables), dirty, Arc::clone(&observer), Arc::new(Nobody));
        let log = Arc::clone(&durable.log) as Arc<dyn EventLog>;
        let delta = DeltaConnector { tables: Arc::clone(&tables), decided };
        let delta = Watched { inner: delta, seen: Arc::clone(&durable.seen) };
        let connectors = Connectors::new()
            .with("log", Arc::new(LogConnector(Arc::clone(&log))))
            .with("delta", Arc::new(delta));
        let recorder = Arc::new(Recorder { inner: Arc::clone(&observer), seen: Arc::clone(&durable.seen) });
        let admit =
            Admit { log, clock: Arc::clone(&durable.clock) as _, heartbeat: std::time::Duration::ZERO };
        let repair = Arc::new(repair);
        let jobs = start_jobs(durable, &connectors, &recorder, &repair, &options).await?;
        let durable = Arc::clone(durable);
        Ok(Self { tables, observer, repair, admit, jobs, connectors, recorder, options, durable })
    }

    /// Starts the jobs again where they have failed, as `Streams::supervise` does. Whether they run.
    pub(super) async fn revive(&mut self) -> bool {
        if !self.jobs.status().finished {
            return true;
        }
        let started =
            start_jobs(&self.durable, &self.connectors, &self.recorder, &self.repair, &self.options).await;
        match started {
            Ok(jobs) => self.jobs = jobs,
            Err(error) => tracing::debug!(error, "the jobs do not start"),
        }
        !self.jobs.status().finished
    }

    /// One pass of `admit` over a partition, or a heartbeat; whether there was a failure.
    pub(super) async fn admit(&self, partition: u32) -> bool {
        let Ok(position) = self.admit.log.position(partition).await else { return true };
        self.admit.step(partition, position, std::time::Duration::ZERO).await.is_err()
    }

    /// Waits until the jobs have read all that they are shown, or have failed.
    pub(super) async fn settle(&self) {
        // Jobs that define the source in another way have readers of their own: look again before believing it.
        let mut quiet = 0;
        while quiet < 3 && !self.jobs.status().finished {
            for _ in 0..32 {
                tokio::task::yield_now().await;
            }
            quiet = if self.durable.log.quiet() { quiet + 1 } else { 0 };
            if quiet == 0 {
                tokio::time::sleep(std::time::Duration::from_micros(200)).await;
            }
        }
    }
}

async fn start_jobs(
    durable: &Durable,
    connectors: &Connectors,
    recorder: &Arc<Recorder>,
    repair: &Repair,
    options: &PipelineOptions,
) -> Result<PipelineHandle, String> {
    durable.log.forget_readers();
    let home = durable.folder.path();
    let store = CheckpointStore::local(home.join("checkpoints")).map_err(|e| format!("{e:?}"))?;
    let observer = Arc::clone(recorder) as Arc<dyn EpochObserver>;
    let programs = programs(home).await;
    let jobs = Box::pin(Pipeline::start(programs, connectors, store, Some(observer), options.clone())).await;
    let jobs = jobs.map_err(|e| format!("{e:?}"))?;
    let repaired: Vec<_> = programs_again(home).await;
    repair.set_programs(&repaired).map_err(|e| format!("{e:?}"))?;
    Ok(jobs)
}

async fn programs(home: &Path) -> Vec<Program> {
    let lake = home.join("lake").to_string_lossy().into_owned();
    let variables = BTreeMap::from([("lake".to_owned(), lake)]);
    let mut programs = Vec::new();
    for (name, sql) in JOBS {
        programs.push(Box::pin(Program::parse(name, sql, &variables)).await.unwrap());
    }
    programs
}

async fn programs_again(home: &Path) -> Vec<Arc<Program>> {
    programs(home).await.into_iter().map(Arc::new).collect()
}

#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Followers for Nobody {
    fn follow(&self, _: &str) -> bool {
        false
    }

    async fn replacing(
        &self,
        _: &str,
        _: u64,
        _: &[RecordBatch],
        _: &[RecordBatch],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

/// The tables' observer, with an eye on epochs and watermarks.
struct Recorder {
    inner: Arc<Observer>,
    seen: Arc<Mutex<Seen>>,
}

#[async_trait]
impl EpochObserver for Recorder {
    async fn decided(&self, epoch: &EpochSummary) -> Result<()> {
        {
            let mut seen = self.seen.lock().unwrap();
            let before = seen.decided;
            seen.decided = epoch.epoch.max(before);
            let grows = epoch.epoch > before || (epoch.replayed && epoch.epoch == before);
            assert!(grows, "epoch {} is told after {before}", epoch.epoch);
            for sink in &epoch.sinks {
                let watermark = seen.watermarks.entry(sink.table.clone()).or_insert(i64::MIN);
                assert!(sink.watermark_ns >= *watermark, "FL-3: the watermark of {} goes back", sink.table);
                *watermark = sink.watermark_ns;
                let late = seen.late.entry(sink.table.clone()).or_default();
                assert!(sink.late_rows >= *late, "FL-3: late rows of {} are forgotten", sink.table);
                *late = sink.late_rows;
            }
        }
        self.inner.decided(epoch).await
    }

    async fn committed(&self, epoch: &EpochSummary) -> Result<()> {
        EpochObserver::committed(self.inner.as_ref(), epoch).await
    }
}

/// The tables' connector, with an eye on the numbers of epochs.
struct Watched {
    inner: DeltaConnector,
    seen: Arc<Mutex<Seen>>,
}

#[async_trait]
impl Connector for Watched {
    async fn source(&self, table: &TableDef) -> Result<Box<dyn Source>> {
        self.inner.source(table).await
    }

    async fn sink(&self, table: &TableDef, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let inner = self.inner.sink(table, context).await?;
        Ok(Box::new(WatchedSink { inner, name: table.name.clone(), seen: Arc::clone(&self.seen) }))
    }
}

struct WatchedSink {
    inner: Box<dyn Sink>,
    name: String,
    seen: Arc<Mutex<Seen>>,
}

#[async_trait]
impl Sink for WatchedSink {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.inner.write(batch).await
    }

    async fn stage(&mut self, epoch: u64) -> Result<serde_json::Value> {
        let fresh = self.seen.lock().unwrap().staged.insert((self.name.clone(), epoch));
        assert!(fresh, "epoch {epoch} is staged twice for {}", self.name);
        self.inner.stage(epoch).await
    }

    async fn commit(&mut self, epoch: u64, staged: &serde_json::Value) -> Result<()> {
        self.inner.commit(epoch, staged).await
    }
}

/// What the node's clock shows.
pub(super) fn now(durable: &Durable) -> chrono::DateTime<chrono::Utc> {
    durable.clock.now()
}
