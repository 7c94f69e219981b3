//! Work that goes on by itself: repair of dirty windows, compaction, trimming of the log, and a look at whether log
//! and tables can be used.

use std::{sync::Arc, time::Duration};

use crave_api::Health;
use crave_connect::log::{EventLog, Topic};
use crave_tables::{Bounds, Observer, Repair, Repaired, Tables, maintain as maintain_table};
use tokio::sync::watch;

/// Pause between two looks at the log.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// The log must answer a look within this.
const PROBE_MAX: Duration = Duration::from_secs(10);

/// Recomputes dirty windows until `stop`; rounds follow each other while there is work.
pub(super) async fn repair(repair: Arc<Repair>, interval: Duration, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        match repair.round().await {
            Ok(done) if done != Repaired::default() => {
                tracing::info!(corrections = done.corrections, windows = done.windows, "repaired");
                continue;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, cause = ?error, "repair failed; it is tried again"),
        }
        pause(interval, &mut stop).await;
    }
}

/// Keeps tables within their bounds, and the inbox without what was admitted, until `stop`.
pub(super) async fn maintain(
    tables: Arc<Tables>,
    log: Arc<dyn EventLog>,
    observer: Arc<Observer>,
    interval: Duration,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        pause(interval, &mut stop).await;
        if *stop.borrow() {
            return;
        }
        if let Err(error) = tables.sweep() {
            tracing::warn!(%error, "old versions of tables were not deleted; it is tried again");
        }
        for table in tables.written() {
            if let Err(error) = maintain_table(&table, observer.committed(), Bounds::default()).await {
                tracing::warn!(table = table.name(), %error, cause = ?error, "maintenance failed; it is tried again");
            }
        }
        for partition in 0..log.partitions() {
            let admitted = log.position(partition).await;
            let trimmed = match admitted {
                Ok(position) if position > 0 => log.trim(Topic::Inbox, partition, position - 1).await,
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = trimmed {
                tracing::warn!(partition, %error, "the inbox was not trimmed");
            }
        }
    }
}

/// Tells whether the log takes events, until `stop`: `/health/ready` says so before a device is refused.
pub(super) async fn probe(
    log: Arc<dyn EventLog>,
    health: Arc<watch::Sender<Health>>,
    mut stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        let reason = match tokio::time::timeout(PROBE_MAX, log.probe()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("the event log has not answered for {} s", PROBE_MAX.as_secs())),
        };
        tell(&health, "log", reason);
        pause(PROBE_INTERVAL, &mut stop).await;
    }
}

/// Keeps tables that another process writes up to date, until `stop`.
pub(super) async fn refresh(
    tables: Arc<Tables>,
    interval: Duration,
    health: Arc<watch::Sender<Health>>,
    mut stop: watch::Receiver<bool>,
) {
    while !*stop.borrow() {
        let reason = tables.refresh().await.err().map(|error| error.to_string());
        tell(&health, "tables", reason);
        pause(interval, &mut stop).await;
    }
}

fn tell(health: &watch::Sender<Health>, part: &'static str, reason: Option<String>) {
    let news = health.send_if_modified(|health| health.set(part, reason.clone()));
    match reason {
        Some(reason) if news => tracing::warn!(part, reason, "not ready"),
        None if news => tracing::info!(part, "ready again"),
        _ => {}
    }
}

async fn pause(interval: Duration, stop: &mut watch::Receiver<bool>) {
    let _ = tokio::time::timeout(interval, stop.wait_for(|stop| *stop)).await;
}
