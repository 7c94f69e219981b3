//! Work that goes on by itself: repair of dirty windows, compaction, trimming of the log.

use std::{sync::Arc, time::Duration};

use crave_connect::log::{EventLog, Topic};
use crave_tables::{Bounds, Observer, Repair, Repaired, Tables, maintain as maintain_table};
use tokio::sync::watch;

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
        for table in tables.all() {
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

async fn pause(interval: Duration, stop: &mut watch::Receiver<bool>) {
    let _ = tokio::time::timeout(interval, stop.wait_for(|stop| *stop)).await;
}
