//! The last verify: kept in the home, told in log, metrics and health, and made again on a schedule.
//!
//! A table that does not equal its SQL is a fault of ours that no restart mends, and what is taken in is safe all the same: so
//! the process stays ready, and warns until a verify holds again.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use crave_api::Health;
use crave_tables::Verdict;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Core;
use crate::home::Home;

/// Longest run of a scheduled verify.
const RUN_MAX: Duration = Duration::from_secs(3_600);
/// A scheduled verify need not be fast: what runs beside it must be.
const CORES: usize = 1;
/// A process that has just started has better things to do, for this long at most.
const FIRST_AFTER: Duration = Duration::from_secs(60);

/// What the last verify found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verified {
    /// When it ended (ms since 1970, UTC).
    pub(crate) at_ms: i64,
    /// By table.
    pub(crate) verdicts: Vec<Verdict>,
}

impl Verified {
    /// What was found in this home last, by whatever process.
    pub(crate) fn of(home: &Home) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(home.verified()).ok()?).ok()
    }

    fn keep(&self, path: &Path) -> anyhow::Result<()> {
        let temporary = path.with_extension("tmp");
        std::fs::write(&temporary, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&temporary, path).with_context(|| format!("{}: cannot be written", path.display()))
    }

    /// The tables that do not equal their SQL.
    pub(crate) fn failing(&self) -> Vec<&Verdict> {
        self.verdicts.iter().filter(|verdict| !verdict.holds()).collect()
    }

    /// What a person should know of it, where something is wrong.
    pub(crate) fn complaint(&self) -> Option<String> {
        let failing = self.failing();
        let rows = |v: &&Verdict| {
            format!("{} ({} differing, {} missing, {} extra)", v.table, v.differing, v.missing, v.extra)
        };
        let tables: Vec<_> = failing.iter().map(rows).collect();
        (!tables.is_empty()).then(|| {
            format!(
                "verify failed: rows differ from their SQL in batch in {}; please report this",
                tables.join(", ")
            )
        })
    }
}

/// Tells of a verify, and keeps it.
pub(super) fn record(home: &Home, health: &watch::Sender<Health>, verified: &Verified) {
    for verdict in &verified.verdicts {
        let differing = verdict.differing + verdict.missing + verdict.extra;
        #[allow(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!("crave_verify_wrong_rows", "table" => verdict.table.clone()).set(differing as f64);
    }
    let complaint = verified.complaint();
    match &complaint {
        Some(complaint) => tracing::error!(complaint, "verify"),
        None => tracing::info!(tables = verified.verdicts.len(), "verify holds"),
    }
    health.send_if_modified(|health| health.warn("verify", complaint));
    if let Err(error) = verified.keep(&home.verified()) {
        tracing::warn!(cause = ?error, "the result of verify was not kept");
    }
}

/// Verifies every `interval`, counted also over restarts, until `stop`.
pub(super) async fn scheduled(core: Arc<Core>, interval: Duration, mut stop: watch::Receiver<bool>) {
    let mut wait = core.next_verify(interval).max(interval.min(FIRST_AFTER));
    loop {
        if tokio::time::timeout(wait, stop.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        let run = tokio::time::timeout(RUN_MAX, core.verify(Some(CORES)));
        let ended = tokio::select! {
            ended = run => ended,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let unfinished = match ended {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some(format!("it took longer than {} s", RUN_MAX.as_secs())),
        };
        let outcome = if unfinished.is_some() { "unfinished" } else { "finished" };
        metrics::counter!("crave_verify_runs_total", "outcome" => outcome).increment(1);
        if let Some(reason) = unfinished {
            tracing::warn!(reason, "a scheduled verify did not finish; the next one tries again");
        }
        wait = interval;
    }
}

impl Core {
    /// How long until the home's next verify is due.
    fn next_verify(&self, interval: Duration) -> Duration {
        let Some(last) = self.flow().ok().and_then(|flow| Verified::of(&flow.home)) else {
            return Duration::ZERO;
        };
        let ago = self.clock.now().timestamp_millis() - last.at_ms;
        interval.saturating_sub(Duration::from_millis(u64::try_from(ago).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_is_complained_of() {
        let verdict =
            |table: &str, missing| Verdict { table: table.into(), rows: 9, differing: 0, missing, extra: 0 };
        let verified =
            |missing| Verified { at_ms: 1, verdicts: vec![verdict("daily", 0), verdict("recency", missing)] };
        assert_eq!(verified(0).complaint(), None);
        let complaint = verified(2).complaint().unwrap();
        assert!(complaint.contains("recency (0 differing, 2 missing, 0 extra)"), "{complaint}");
        assert!(!complaint.contains("daily"), "{complaint}");
    }
}
