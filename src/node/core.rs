//! What the parts of a node share, and what is asked of all of them together.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use crave_api::Health;
use crave_connect::log::{EventLog, Topic};
use crave_lake::Lake;
use crave_schemas::Clock;
use crave_tables::{Observer, Repair, Repaired, Tables, Verdict};
use tokio::sync::watch;

/// Pause between two looks at how far the parts are.
const POLL: Duration = Duration::from_millis(5);

/// The parts of a running node.
pub(crate) struct Core {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) observer: Arc<Observer>,
    /// `None` where the tables are written by another process.
    pub(super) repair: Option<Arc<Repair>>,
    pub(crate) lake: Arc<Lake>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Arc<watch::Sender<Health>>,
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
        let repair = self.repair()?;
        self.admitted().await?;
        while !self.tables.building().is_empty() {
            self.check()?;
            tokio::time::sleep(POLL).await;
        }
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

    /// Drains, then compares every table with its SQL in batch.
    pub(crate) async fn verify(&self) -> anyhow::Result<Vec<Verdict>> {
        self.drain().await?;
        Ok(self.repair()?.verify().await?)
    }

    fn repair(&self) -> anyhow::Result<&Repair> {
        self.repair.as_deref().context("this process does not run `flow`; ask the one that does")
    }

    fn check(&self) -> anyhow::Result<()> {
        match self.health.borrow().of("flow") {
            None => Ok(()),
            Some(reason) => anyhow::bail!("the streaming jobs have stopped: {reason}"),
        }
    }
}
