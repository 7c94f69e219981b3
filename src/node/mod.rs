//! All parts of one machine, composed: log, admit, streaming jobs, tables, repair, SQL.

mod background;
mod feeder;
mod jobs;
mod log;
mod memories;
mod streams;

use std::{
    fs::File,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::Context as _;
use crave_api::Health;
use crave_connect::{
    Admit,
    log::{EventLog, Topic},
};
use crave_lake::Lake;
use crave_schemas::{Clock, SystemClock};
use crave_tables::{DeltaConnector, Dirty, Observer, Repair, Tables};
pub(crate) use feeder::{BATCH_EVENTS, Fate};
pub(crate) use jobs::JOBS;
pub(crate) use memories::open as open_memories;
use tokio::{sync::watch, task::JoinSet};

use crate::{config::Config, home::Home};

/// Pause between two looks at how far the parts are.
const POLL: Duration = Duration::from_millis(5);

/// A running machine; one a home.
pub(crate) struct Node {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) repair: Arc<Repair>,
    pub(crate) lake: Arc<Lake>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: watch::Receiver<Health>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    _lock: File,
}

impl Node {
    /// Opens everything in `home`, redoes what a crash left undone, and starts all parts.
    pub(crate) async fn start(home: &Home, config: &Config) -> anyhow::Result<Self> {
        let lock = home.lock()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log = log::open(home, &config.log).await.context("opening the event log")?;
        let tables = Arc::new(Tables::new(&home.lake()));
        let dirty = Arc::new(Dirty::open(&home.dirty()).context("opening the set of dirty windows")?);
        let decided = Arc::new(AtomicU64::new(0));
        let observer = Arc::new(Observer::new(Arc::clone(&tables), Arc::clone(&dirty), Arc::clone(&decided)));
        let delta = DeltaConnector { tables: Arc::clone(&tables), decided };
        let (ready, health) = watch::channel(Health { waiting: vec!["streaming jobs start".into()] });
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();

        let streams = streams::Streams::new(home, config, Arc::clone(&log), delta, Arc::clone(&observer));
        let pipeline = streams.start().await.context("starting the streaming jobs")?;
        let programs: Vec<_> = jobs::parse(home).await?.into_iter().map(Arc::new).collect();
        let repair = Repair::new(Arc::clone(&tables), Arc::clone(&dirty), Arc::clone(&observer), &programs)?;
        let repair = Arc::new(repair);
        let lake = Arc::new(Lake::new(Arc::clone(&tables), config.sql.bounds())?);
        ready.send_replace(Health::default());

        tasks.spawn(streams.supervise(pipeline, ready, stopping.clone()));
        let admit =
            Admit { log: Arc::clone(&log), clock: Arc::clone(&clock), heartbeat: config.log.heartbeat };
        for partition in 0..config.log.partitions {
            tasks.spawn(admit.clone().run(partition, stopping.clone()));
        }
        tasks.spawn(background::repair(Arc::clone(&repair), config.repair.interval, stopping.clone()));
        tasks.spawn(background::maintain(
            Arc::clone(&tables),
            Arc::clone(&log),
            Arc::clone(&observer),
            config.repair.maintain_interval,
            stopping,
        ));
        Ok(Self { log, tables, observer, repair, lake, clock, health, stop, tasks, _lock: lock })
    }

    /// Waits until `admit` has come to the end of the inbox.
    async fn admitted(&self) -> anyhow::Result<()> {
        for partition in 0..self.log.partitions() {
            let sent = self.log.bounds(Topic::Inbox, partition).await?.end;
            while self.log.position(partition).await? < sent {
                self.check()?;
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Waits until everything sent so far is in the tables, time has been told since, and nothing closed is
    /// dirty.
    pub(crate) async fn drain(&self) -> anyhow::Result<()> {
        self.admitted().await?;
        for partition in 0..self.log.partitions() {
            let admitted = self.log.bounds(Topic::Events, partition).await?.end;
            // Offset `admitted` will be the next heartbeat's: with it the watermark comes to now.
            while !self.observer.is_stored(partition, admitted) {
                self.check()?;
                tokio::time::sleep(POLL).await;
            }
        }
        self.repair.drain().await?;
        Ok(())
    }

    fn check(&self) -> anyhow::Result<()> {
        let waiting = self.health.borrow().waiting.join("; ");
        anyhow::ensure!(waiting.is_empty(), "the streaming jobs have stopped: {waiting}");
        Ok(())
    }

    /// Stops all parts: admit first, then the jobs at a checkpoint.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
