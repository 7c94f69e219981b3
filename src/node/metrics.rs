//! What the streaming jobs are doing, for Prometheus.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crave_flow::{NodeKind, NodeStatus};
use tokio::sync::watch;

use super::{Core, Status};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(5);

/// What was told of a node last: job, place.
type Told = BTreeMap<(String, usize), NodeStatus>;

/// Tells it until `stop`.
pub(super) async fn tell(core: Arc<Core>, mut stop: watch::Receiver<bool>) {
    let (mut told, mut dirty) = (Told::new(), BTreeMap::new());
    while tokio::time::timeout(INTERVAL, stop.wait_for(|stop| *stop)).await.is_err() {
        match core.status().await {
            Ok(status) => {
                // A table with nothing dirty any more is told once more, with zero.
                dirty.values_mut().for_each(|count| *count = (0, 0));
                dirty.extend(status.dirty.iter().map(|(table, d)| (table.clone(), (d.due, d.open))));
                for (table, (due, open)) in &dirty {
                    for (state, count) in [("due", *due), ("open", *open)] {
                        let labels = [("table", table.clone()), ("state", state.to_owned())];
                        metrics::gauge!("crave_repair_dirty_windows", &labels).set(float(count));
                    }
                }
                of_jobs(&status, &mut told);
            }
            Err(error) => tracing::debug!(%error, "no status of the jobs"),
        }
    }
}

fn of_jobs(status: &Status, told: &mut Told) {
    let pipeline = &status.pipeline;
    metrics::gauge!("crave_flow_epoch").set(float(pipeline.epoch));
    if let Some(at_ms) = pipeline.checkpoint_at_ms {
        metrics::gauge!("crave_flow_checkpoint_age_seconds").set(seconds(status.at_ms - at_ms));
        metrics::gauge!("crave_flow_checkpoint_took_seconds")
            .set(float(pipeline.checkpoint_took_ms) / 1_000.0);
    }
    for job in &pipeline.jobs {
        let name = [("job", job.job.clone())];
        if (i64::MIN + 1..i64::MAX).contains(&job.watermark_ns) {
            let lag_ms = status.at_ms - job.watermark_ns.div_euclid(1_000_000);
            metrics::gauge!("crave_flow_watermark_lag_seconds", &name).set(seconds(lag_ms));
        }
        metrics::gauge!("crave_flow_state_rows", &name).set(float(job.state_rows));
        metrics::gauge!("crave_flow_state_bytes", &name).set(float(job.state_bytes));
        for (at, node) in job.nodes.iter().enumerate() {
            of_node(&job.job, node, told.insert((job.job.clone(), at), node.clone()).as_ref());
        }
    }
}

/// Counters grow by what is new; a pipeline that was started again counts from zero.
fn of_node(job: &str, node: &NodeStatus, before: Option<&NodeStatus>) {
    let new = |of: fn(&NodeStatus) -> u64| {
        let before = before.map_or(0, of);
        of(node).checked_sub(before).unwrap_or(of(node))
    };
    let labels = [("job", job.to_owned()), ("node", node.name.clone())];
    metrics::counter!("crave_flow_rows_in_total", &labels).increment(new(|n| n.rows_in));
    metrics::counter!("crave_flow_rows_out_total", &labels).increment(new(|n| n.rows_out));
    metrics::counter!("crave_flow_wait_milliseconds_total", &labels).increment(new(|n| n.waited_ms));
    if node.kind == NodeKind::Stage {
        let labels = [("job", job.to_owned()), ("source", node.sources.join(", "))];
        // It is restored with the state, so it does not begin anew.
        let late = node.late_rows.saturating_sub(before.map_or(0, |b| b.late_rows));
        metrics::counter!("crave_flow_late_rows_total", &labels).increment(late);
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge")]
fn float(count: u64) -> f64 {
    count as f64
}

#[allow(clippy::cast_precision_loss, reason = "a gauge")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}
