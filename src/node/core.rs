//! What the parts of a node share, and what is asked of all of them together.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use crave_api::Health;
use crave_connect::log::{EventLog, Topic};
use crave_flow::PipelineView;
use crave_lake::Lake;
use crave_schemas::Clock;
use crave_tables::{Observer, Repair, Repaired, Tables, Verdict};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    jobs::{Planned, plan},
    streams::Deploy,
    verified::{self, Verified},
};
use crate::home::Home;

/// Pause between two looks at how far the parts are.
const POLL: Duration = Duration::from_millis(5);

/// The parts of a running node.
pub(crate) struct Core {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) observer: Arc<Observer>,
    /// `None` where another process computes.
    pub(super) flow: Option<Flow>,
    pub(crate) lake: Arc<Lake>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Arc<watch::Sender<Health>>,
}

/// The part that computes.
pub(super) struct Flow {
    pub(super) repair: Arc<Repair>,
    pub(super) home: Home,
    /// The folder of jobs, where one is set.
    pub(super) jobs: Option<PathBuf>,
    pub(super) deploys: mpsc::Sender<Deploy>,
    pub(super) view: watch::Receiver<Option<PipelineView>>,
}

impl Core {
    /// Waits until `admit` has come to the end of the inbox.
    pub(super) async fn admitted(&self) -> anyhow::Result<()> {
        for partition in 0..self.log.partitions() {
            let sent = self.log.bounds(Topic::Inbox, partition).await?.end;
            while self.log.position(partition).await? < sent {
                self.check()?;
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Waits until everything sent so far is in the tables, time has been told since, and nothing closed is dirty;
    /// says what was repaired for that.
    pub(crate) async fn drain(&self) -> anyhow::Result<Repaired> {
        let repair = &self.flow()?.repair;
        self.admitted().await?;
        self.built().await?;
        for partition in 0..self.log.partitions() {
            let admitted = self.log.bounds(Topic::Events, partition).await?.end;
            // Offset `admitted` will be the next heartbeat's: with it the watermark comes to now.
            while !self.observer.is_stored(partition, admitted) {
                self.check()?;
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(repair.drain().await?)
    }

    /// Drains, then compares every table with its SQL in batch, on all cores or on `cores`; keeps and tells what was found.
    pub(crate) async fn verify(&self, cores: Option<usize>) -> anyhow::Result<Vec<Verdict>> {
        self.drain().await?;
        let flow = self.flow()?;
        let verdicts = flow.repair.verify(cores).await?;
        let verified = Verified { at_ms: self.clock.now().timestamp_millis(), verdicts };
        verified::record(&flow.home, &self.health, &verified);
        Ok(verified.verdicts)
    }

    /// Waits until no table is built beside an old one.
    async fn built(&self) -> anyhow::Result<()> {
        while !self.tables.building().is_empty() {
            self.check()?;
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// What [`Self::deploy`] would do.
    pub(crate) async fn plan(&self) -> anyhow::Result<Vec<Planned>> {
        let flow = self.flow()?;
        plan(&flow.home, flow.jobs.as_deref()).await
    }

    /// Restarts the jobs with the SQL that is there now, and returns when every changed job's tables are switched; says
    /// what was done to each job's state.
    pub(crate) async fn deploy(&self) -> anyhow::Result<Vec<Planned>> {
        let planned = self.plan().await?;
        let (done, answer) = oneshot::channel();
        let stopped = "the streaming jobs are being stopped";
        self.flow()?.deploys.send(done).await.ok().context(stopped)?;
        answer.await.ok().context(stopped)??;
        self.built().await?;
        Ok(planned)
    }

    pub(super) fn flow(&self) -> anyhow::Result<&Flow> {
        self.flow.as_ref().context("this process does not run `flow`; ask the one that does")
    }

    fn check(&self) -> anyhow::Result<()> {
        match self.health.borrow().of("flow") {
            None => Ok(()),
            Some(reason) => anyhow::bail!("the streaming jobs have stopped: {reason}"),
        }
    }
}
