//! A model's own face, without the platform: chat completions, the list of models, health and metrics, as OpenAI's
//! clients ask for them. `crave serve-model` runs it.
//!
//! In: requests with a key. Out: what [`crave_lora::Engine`] writes. Who a caller is and which adapters it may use is in
//! [`Keys`]; an adapter that it may not use looks like one that does not exist.

mod chat;
mod keys;
mod models;
mod ops;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts},
    http::{HeaderName, HeaderValue, Uri, header::AUTHORIZATION, request::Parts},
    routing::{get, post},
};
use crave_lora::Engine;
use crave_schemas::Clock;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Semaphore, watch};
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer, trace::TraceLayer};

use crate::openai::OpenAiError;
use keys::Holder;
pub use keys::{Keys, KeysError};

/// Bounds of a model server's requests; the engine has its own.
#[derive(Clone, Copy, Debug)]
pub struct ModelLimits {
    /// Bytes of a body.
    pub body_bytes_max: usize,
    /// Tokens of an answer.
    pub answer_tokens_max: usize,
    /// Requests that are open at once, waiting or running.
    pub open_requests_max: usize,
}

impl Default for ModelLimits {
    fn default() -> Self {
        Self { body_bytes_max: 1 << 20, answer_tokens_max: 1024, open_requests_max: 512 }
    }
}

/// The application behind the routes. Cloning it is cheap.
#[derive(Clone)]
pub struct ModelServer {
    engine: Engine,
    keys: watch::Receiver<Arc<Keys>>,
    limits: ModelLimits,
    open: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    metrics: PrometheusHandle,
    /// True once the process ends.
    stopping: watch::Receiver<bool>,
    /// Seconds since 1970.
    started: i64,
}

impl std::fmt::Debug for ModelServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelServer").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl ModelServer {
    /// A server for `engine`; `keys` may change while it runs, and from when `stopping` is true it takes nothing new.
    #[must_use]
    pub fn new(
        engine: Engine,
        keys: watch::Receiver<Arc<Keys>>,
        limits: ModelLimits,
        clock: Arc<dyn Clock>,
        metrics: PrometheusHandle,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let open = Arc::new(Semaphore::new(limits.open_requests_max));
        let started = clock.now().timestamp();
        Self { engine, keys, limits, open, clock, metrics, stopping, started }
    }

    /// The routes. To be served with connect info (`SocketAddr`), which says who asks from this machine.
    pub fn router(self) -> Router {
        let header = |name: &'static str, value: &'static str| {
            SetResponseHeaderLayer::if_not_present(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        let layers = ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .layer(CatchPanicLayer::new())
            .layer(header("x-content-type-options", "nosniff"))
            .layer(header("cache-control", "no-store"));
        Router::new()
            .route("/v1/chat/completions", post(chat::post))
            .route("/v1/models", get(models::list))
            .route("/v1/models/{id}", get(models::one))
            .route("/health", get(ops::health))
            .route("/metrics", get(ops::metrics))
            .fallback(|uri: Uri| async move { OpenAiError::no_route(uri.path()) })
            .layer(DefaultBodyLimit::max(self.limits.body_bytes_max))
            .layer(layers)
            .with_state(self)
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

impl FromRequestParts<ModelServer> for Holder {
    type Rejection = OpenAiError;

    async fn from_request_parts(parts: &mut Parts, server: &ModelServer) -> Result<Self, OpenAiError> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        let key = header
            .and_then(|header| header.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, key) = key.ok_or_else(OpenAiError::unauthorized)?;
        server.keys.borrow().holder(key.trim()).ok_or_else(OpenAiError::unauthorized)
    }
}
