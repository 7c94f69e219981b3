//! The routes, one a file.

mod analytics;
mod chat;
mod citations;
mod consent;
mod conversations;
mod craving_change;
mod cravings;
mod documents;
mod event_status;
mod events;
mod feed;
mod feedback;
mod health;
mod insights;
mod me;
mod memories;
mod page;
pub(crate) mod persona;
mod profile;
mod spoken;
mod sql;

pub use page::page_file;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue},
    routing::{get, post},
};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer, decompression::RequestDecompressionLayer,
    set_header::SetResponseHeaderLayer, trace::TraceLayer,
};

use crate::{App, openapi};

/// The routes of the application's faces.
pub fn router(app: App) -> Router {
    let header = |name: &'static str, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let layers = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CatchPanicLayer::new())
        .layer(header("x-content-type-options", "nosniff"))
        .layer(header("referrer-policy", "no-referrer"))
        .layer(header("cache-control", "no-store"))
        .layer(RequestDecompressionLayer::new());
    let health = Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics));
    let none = Router::new;
    health
        .merge(if app.faces.ingest { ingest() } else { none() })
        .merge(if app.faces.serve { serve() } else { none() })
        .layer(DefaultBodyLimit::max(app.limits.body_bytes_max))
        .layer(layers)
        .with_state(app)
}

/// Events in, and what became of them.
fn ingest() -> Router<App> {
    Router::new().route("/v1/events", post(events::post)).route("/v1/events/{id}", get(event_status::get))
}

/// Everything that reads.
fn serve() -> Router<App> {
    Router::new()
        .route("/", get(page::index))
        .route("/icon.svg", get(page::icon))
        .route("/assets/{name}", get(page::asset))
        .route("/v1/openapi.json", get(openapi::get))
        .route("/v1/me", get(me::me).delete(me::erase))
        .route("/v1/erasures/{id}", get(me::erasure))
        .route("/v1/feed", get(feed::feed))
        .route("/v1/sql", post(sql::post))
        .route("/v1/cravings", get(cravings::list))
        .route(
            "/v1/cravings/{id}",
            get(cravings::one).patch(craving_change::patch).delete(craving_change::delete),
        )
        .route("/v1/analytics/summary", get(analytics::summary))
        .route("/v1/analytics/patterns", get(analytics::patterns))
        .route("/v1/analytics/time-of-day", get(analytics::time_of_day))
        .route("/v1/analytics/intensity", get(analytics::intensity))
        .route("/v1/analytics/emotions", get(analytics::emotions))
        .route("/v1/insights", post(insights::post))
        .route("/v1/citations/{id}", get(citations::get))
        .route(
            "/v1/chat/completions",
            post(chat::completions).layer(DefaultBodyLimit::max(chat::BODY_BYTES_MAX)),
        )
        .route("/v1/models", get(chat::models))
        .route("/v1/models/{id}", get(chat::model))
        .route("/v1/answers/{id}/feedback", get(feedback::get).put(feedback::put).delete(feedback::delete))
        .route("/v1/consent", get(consent::get).put(consent::put))
        .route("/v1/conversations", get(conversations::list).post(conversations::begin))
        .route("/v1/conversations/{id}", get(conversations::one).delete(conversations::delete))
        .route("/v1/conversations/{id}/messages", get(conversations::messages).post(conversations::say))
        .route("/v1/memories", get(memories::list))
        .route("/v1/memories/export", get(memories::export))
        .route("/v1/memories/{id}", get(memories::one).patch(memories::correct).delete(memories::delete))
        .route(
            "/v1/documents",
            get(documents::list)
                .post(documents::post)
                .layer(DefaultBodyLimit::max(crave_recall::document::DOCUMENT_BYTES_MAX)),
        )
        .route("/v1/documents/{id}", get(documents::one).delete(documents::delete))
        .route("/v1/documents/{id}/original", get(documents::original))
        .route("/v1/documents/{id}/text", get(documents::text))
        .route("/v1/persona", get(persona::get))
        .route("/v1/persona/correction", post(persona::correct))
        .route("/v1/profile", get(profile::get).put(profile::put))
}
