//! What handlers share.

use std::{collections::BTreeMap, sync::Arc};

use crave_connect::log::EventLog;
use crave_insight::{Chats, Insights};
use crave_lake::Lake;
use crave_schemas::Clock;
use crave_tables::{Observer, Tables};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, watch};

use crate::{Accounts, Limits, RateLimit};

/// Whether the process can serve: the parts that are not ready, each with its reason. Told by what composes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health(BTreeMap<&'static str, String>);

impl Health {
    /// Sets why `part` is not ready; `None` when it is. Says whether that is news.
    pub fn set(&mut self, part: &'static str, reason: Option<String>) -> bool {
        match reason {
            Some(reason) => self.0.insert(part, reason.clone()).is_none_or(|before| before != reason),
            None => self.0.remove(part).is_some(),
        }
    }

    /// Why `part` is not ready.
    #[must_use]
    pub fn of(&self, part: &str) -> Option<&str> {
        self.0.get(part).map(String::as_str)
    }

    /// All that is waited for; empty when ready.
    #[must_use]
    pub fn waiting(&self) -> Vec<&str> {
        self.0.values().map(String::as_str).collect()
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
    /// Conversations and memories.
    pub chats: Arc<Chats>,
    /// Tokens.
    pub accounts: Accounts,
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
