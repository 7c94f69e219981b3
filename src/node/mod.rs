//! All parts of one machine, composed: log, admit, streaming jobs, tables, repair, SQL.

mod background;
mod core;
mod dead;
mod documents;
mod feeder;
mod index;
mod jobs;
mod labels;
mod log;
mod markers;
mod memories;
mod metrics;
mod parts;
mod position;
mod rebuild;
mod status;
mod streams;
mod verified;

use std::{
    fs::File,
    ops::Deref,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use anyhow::Context as _;
use crave_api::Health;
use crave_connect::Admit;
use crave_flow::CheckpointStore;
use crave_lake::{Engine, Lake};
use crave_schemas::{Clock, SystemClock};
use crave_tables::{DeltaConnector, Dirty, Observer, Repair, Tables};
pub(crate) use dead::Dead;
pub(crate) use feeder::{BATCH_EVENTS, Fate};
pub(crate) use index::open as open_memories;
pub(crate) use jobs::{Planned, State, plan, programs as job_programs, texts as job_texts};
pub(crate) use parts::Part;
pub(crate) use status::Status;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
pub(crate) use verified::Verified;

pub(crate) use self::core::Core;
use crate::{config::Config, home::Home};

/// A running machine; one a home.
pub(crate) struct Node {
    core: Arc<Core>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    _locks: Vec<File>,
}

impl Deref for Node {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Node {
    /// Opens everything in `home`, redoes what a crash left undone, and starts the parts.
    pub(crate) async fn start(home: &Home, config: &Config, parts: &[Part]) -> anyhow::Result<Self> {
        let mut locks = vec![home.lock()?];
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log = log::open(home, &config.log, parts.contains(&Part::Flow))
            .await
            .context("opening the event log")?;
        let tables = Arc::new(Tables::new(&home.lake()));
        let dirty = Arc::new(Dirty::open(&home.dirty()).context("opening the set of dirty windows")?);
        let decided = Arc::new(AtomicU64::new(0));
        let observer = Arc::new(Observer::new(Arc::clone(&tables), Arc::clone(&dirty), Arc::clone(&decided)));
        let health = Arc::new(watch::Sender::new(Health::default()));
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut flow = None;
        if parts.contains(&Part::Flow) {
            locks.push(home.lock_lake()?);
            let delta = DeltaConnector { tables: Arc::clone(&tables), decided };
            let markers = Arc::new(markers::Markers(Arc::clone(&log)));
            let repairer = Repair::new(Arc::clone(&tables), dirty, Arc::clone(&observer), markers);
            let repairer = Arc::new(repairer);
            let streams = streams::Streams::new(
                home,
                config,
                Arc::clone(&log),
                delta,
                Arc::clone(&observer),
                Arc::clone(&repairer),
            );
            if let Some(last) = Verified::of(home) {
                health.send_modify(|health| {
                    health.warn("verify", last.complaint());
                });
            }
            let view = streams.view();
            let pipeline = streams.start().await.context("starting the streaming jobs")?;
            let (deploys, deploying) = mpsc::channel(1);
            tasks.spawn(streams.supervise(pipeline, Arc::clone(&health), deploying, stopping.clone()));
            flow = Some(core::Flow {
                repair: Arc::clone(&repairer),
                home: home.clone(),
                jobs: config.flow.jobs().map(Path::to_owned),
                deploys,
                view,
            });
            let admit =
                Admit { log: Arc::clone(&log), clock: Arc::clone(&clock), heartbeat: config.log.heartbeat };
            for partition in 0..config.log.partitions {
                tasks.spawn(admit.clone().run(partition, stopping.clone()));
            }
            tasks.spawn(
                rebuild::Rebuild {
                    log: Arc::clone(&log),
                    tables: Arc::clone(&tables),
                    observer: Arc::clone(&observer),
                    repair: Arc::clone(&repairer),
                    behind: config.flow.checkpoint_interval * 2,
                }
                .run(stopping.clone()),
            );
            tasks.spawn(background::repair(repairer, config.repair.interval, stopping.clone()));
            tasks.spawn(background::maintain(
                Arc::clone(&tables),
                Arc::clone(&log),
                Arc::clone(&observer),
                config.repair.maintain_interval,
                stopping.clone(),
            ));
        } else if parts.contains(&Part::Serve) {
            tables.refresh().await.context("opening the tables")?;
            let pause = config.flow.checkpoint_interval;
            tasks.spawn(background::refresh(
                Arc::clone(&tables),
                pause,
                Arc::clone(&health),
                stopping.clone(),
            ));
        }
        if parts.contains(&Part::Serve) {
            labels::open(&tables).await?;
        }
        tasks.spawn(background::probe(Arc::clone(&log), Arc::clone(&health), stopping.clone()));
        let engine = Engine {
            jobs: flow.as_ref().map(|flow: &core::Flow| flow.view.clone()),
            checkpoints: Some(CheckpointStore::local(home.checkpoints())?),
        };
        let lake = Arc::new(Lake::beside(Arc::clone(&tables), config.sql.bounds(), engine)?);
        let core = Arc::new(Core { log, tables, observer, flow, lake, clock, health });
        if core.flow.is_some() {
            tasks.spawn(metrics::tell(Arc::clone(&core), stopping.clone()));
            if !config.repair.verify_interval.is_zero() {
                let interval = config.repair.verify_interval;
                tasks.spawn(verified::scheduled(Arc::clone(&core), interval, stopping));
            }
        }
        Ok(Self { core, stop, tasks, _locks: locks })
    }

    /// What outlives no stop, but may be shared while the parts run.
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Stops all parts: admit first, then the jobs at a checkpoint.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
