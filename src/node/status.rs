//! What the streaming jobs of a node are doing, for the machine's operator: nothing of it is personal.

use std::{collections::BTreeMap, sync::Arc};

use crave_flow::PipelineStatus;
use serde::{Deserialize, Serialize};

use super::{Core, Verified};

/// The jobs at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// When it was taken (ms since 1970, UTC).
    pub(crate) at_ms: i64,
    /// The jobs.
    pub(crate) pipeline: PipelineStatus,
    /// Why the process is not ready, where it is not.
    pub(crate) waiting: Vec<String>,
    /// The last verify of this home, where there was one.
    pub(crate) verified: Option<Verified>,
    /// Windows that must be recomputed, by table.
    pub(crate) dirty: BTreeMap<String, Dirty>,
}

/// Dirty windows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dirty {
    /// Closed: the next rounds of repair recompute them.
    pub(crate) due: u64,
    /// Not closed yet.
    pub(crate) open: u64,
}

impl Core {
    /// What the streaming jobs are doing.
    pub(crate) async fn status(&self) -> anyhow::Result<Status> {
        let flow = self.flow()?;
        let repair = Arc::clone(&flow.repair);
        let dirty = tokio::task::spawn_blocking(move || repair.dirty()).await??;
        let dirty = dirty.into_iter().map(|(table, (due, open))| (table, Dirty { due, open })).collect();
        let view = flow.view.borrow().clone();
        let pipeline =
            view.map(|view| view.status()).ok_or_else(|| anyhow::anyhow!("the jobs are starting"))?;
        let waiting = self.health.borrow().waiting().into_iter().map(str::to_owned).collect();
        Ok(Status {
            at_ms: self.clock.now().timestamp_millis(),
            pipeline,
            waiting,
            dirty,
            verified: Verified::of(&flow.home),
        })
    }
}
