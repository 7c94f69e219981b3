//! What handlers share.

use std::{collections::BTreeMap, sync::Arc};

use crave_connect::log::EventLog;
use crave_insight::{Chats, Insights, documents::Documents};
use crave_lake::Lake;
use crave_schemas::Clock;
use crave_tables::{Observer, Tables};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, watch};

use crate::{Accounts, Erasures, Limits, RateLimit};

/// Whether the process can serve: the parts that are not ready, each with its reason; and what is wrong although it can.
/// Told by what composes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    waiting: BTreeMap<&'static str, String>,
    warnings: BTreeMap<&'static str, String>,
}

/// Says whether that is news.
fn set(told: &mut BTreeMap<&'static str, String>, part: &'static str, reason: Option<String>) -> bool {
    match reason {
        Some(reason) => told.insert(part, reason.clone()).is_none_or(|before| before != reason),
        None => told.remove(part).is_some(),
    }
}

impl Health {
    /// Sets why `part` is not ready; `None` when it is. Says whether that is news.
    pub fn set(&mut self, part: &'static str, reason: Option<String>) -> bool {
        set(&mut self.waiting, part, reason)
    }

    /// Sets what is wrong with `part`, which serves all the same; `None` when it is well. Says whether that is news.
    pub fn warn(&mut self, part: &'static str, reason: Option<String>) -> bool {
        set(&mut self.warnings, part, reason)
    }

    /// Why `part` is not ready.
    #[must_use]
    pub fn of(&self, part: &str) -> Option<&str> {
        self.waiting.get(part).map(String::as_str)
    }

    /// All that is waited for; empty when ready.
    #[must_use]
    pub fn waiting(&self) -> Vec<&str> {
        self.waiting.values().map(String::as_str).collect()
    }

    /// All that is wrong although the process is ready.
    #[must_use]
    pub fn warnings(&self) -> Vec<&str> {
        self.warnings.values().map(String::as_str).collect()
    }
}

/// Which routes a process offers beside health and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faces {
    /// Events in, and what became of them.
    pub ingest: bool,
    /// Everything that reads: SQL, analytics, feed, answers, the page.
    pub serve: bool,
}

/// The application behind the routes.
#[derive(Clone)]
pub struct App {
    /// Events in.
    pub log: Arc<dyn EventLog>,
    /// Tables.
    pub tables: Arc<Tables>,
    /// What the last epoch made visible.
    pub observer: Arc<Observer>,
    /// SQL.
    pub lake: Arc<Lake>,
    /// Answers.
    pub insights: Arc<Insights>,
    /// What people uploaded; `None` where this process does not serve.
    pub documents: Option<Documents>,
    /// Conversations and memories.
    pub chats: Arc<Chats>,
    /// Tokens.
    pub accounts: Accounts,
    /// Erasures; `None` where this process cannot do them.
    pub erasures: Option<Erasures>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Bounds.
    pub limits: Limits,
    /// Buckets.
    pub rate: Arc<RateLimit>,
    /// Open feeds.
    pub feeds: Arc<Semaphore>,
    /// What this process offers.
    pub faces: Faces,
    /// Readiness.
    pub health: watch::Receiver<Health>,
    /// Metrics.
    pub metrics: PrometheusHandle,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("limits", &self.limits).finish_non_exhaustive()
    }
}
