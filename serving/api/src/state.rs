//! What handlers share.

use std::sync::Arc;

use crave_connect::log::EventLog;
use crave_insight::Insights;
use crave_lake::Lake;
use crave_schemas::Clock;
use crave_tables::{Observer, Tables};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, watch};

use crate::{Accounts, Limits, RateLimit};

/// Whether the process can serve; told by the part that composes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Parts that are not ready, with the reason; empty when ready.
    pub waiting: Vec<String>,
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
