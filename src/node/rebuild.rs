//! A changed job's table: built beside the old one from the whole log, caught up, corrected, then switched by name.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use crave_connect::log::{EventLog, Offset, Topic};
use crave_tables::{Observer, Repair, Tables};
use tokio::sync::watch;

/// What a rebuild goes by.
pub(super) struct Rebuild {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) tables: Arc<Tables>,
    pub(super) observer: Arc<Observer>,
    pub(super) repair: Arc<Repair>,
    /// A job that is less than this behind the log has caught up: two checkpoints.
    pub(super) behind: Duration,
}

impl Rebuild {
    /// Switches each table that is being built once its job has caught up, until `stop` turns true.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let (mut ends, mut told) = (None, Vec::new());
        while !*stop.borrow() {
            let building = self.tables.building();
            if building != told {
                tracing::info!(tables = ?building, "built anew beside the old ones, for their jobs were changed");
                told.clone_from(&building);
            }
            if building.is_empty() {
                ends = None;
            } else {
                match self.step(&building, ends.take()).await {
                    Ok(now) => ends = Some(now),
                    Err(error) => {
                        tracing::warn!(cause = ?error, "a table was not switched; it is tried again");
                    }
                }
            }
            let _ = tokio::time::timeout(self.behind, stop.wait_for(|stop| *stop)).await;
        }
    }

    /// Switches what has read all that the log held at the last look (`ends`); gives what it holds now.
    async fn step(&self, building: &[String], ends: Option<Vec<Offset>>) -> anyhow::Result<Vec<Offset>> {
        let mut now = Vec::new();
        for partition in 0..self.log.partitions() {
            now.push(self.log.bounds(Topic::Events, partition).await?.end);
        }
        let has_read = |table: &str| {
            let (Some(ends), job) = (&ends, self.repair.job_of(table)) else { return false };
            (0..).zip(ends).all(|(p, &end)| end == 0 || self.observer.has_read(&job, p, end - 1))
        };
        let ready: Vec<_> = building.iter().filter(|table| has_read(table)).cloned().collect();
        self.finish(ready).await?;
        Ok(now)
    }

    async fn finish(&self, ready: Vec<String>) -> anyhow::Result<()> {
        // Bronze first: repairs read it, and it holds corrections as they came.
        let (bronze, others): (Vec<_>, Vec<_>) =
            ready.into_iter().partition(|table| table == "events" || table == "corrections");
        for table in &bronze {
            self.switch(table)?;
        }
        if others.is_empty() {
            return Ok(());
        }
        self.repair.correct_again().await.context("applying corrections")?;
        self.repair.drain().await.context("repairing")?;
        others.iter().try_for_each(|table| self.switch(table))
    }

    fn switch(&self, table: &str) -> anyhow::Result<()> {
        self.tables.switch(table)?;
        tracing::info!(table, "the table that was built anew stands in the place of the old one");
        Ok(())
    }
}
