//! The page at `/`: the dashboard's built files, embedded in the binary. The operator's page, `flow.html`, is among them;
//! it is not served here, but by `crave flow top --page`.

use axum::{
    extract::Path,
    http::{
        HeaderName, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use rust_embed::RustEmbed;

use crate::error::ApiError;

/// What the page may do: load its own files and call its own API, nothing else.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Built by `npm run build` in `serving/dashboard`; a binary built without it has no page.
#[derive(RustEmbed)]
#[folder = "../dashboard/dist"]
#[allow_missing = true]
struct Files;

pub(super) async fn index() -> Result<Response, ApiError> {
    let missing = || {
        ApiError::not_found("this binary was built without its page; run `make dashboard` and build again")
    };
    serve("index.html", "no-cache").ok_or_else(missing)
}

pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, ApiError> {
    // Names of assets carry a hash of what is in them.
    let found = serve(&format!("assets/{name}"), "public, max-age=31536000, immutable");
    found.ok_or_else(|| ApiError::not_found("no such file"))
}

pub(super) async fn icon() -> Result<Response, ApiError> {
    serve("icon.svg", "public, max-age=86400").ok_or_else(|| ApiError::not_found("no such file"))
}

/// A built file of the dashboard, not to be kept.
#[must_use]
pub fn page_file(path: &str) -> Option<Response> {
    serve(path, "no-cache")
}

fn serve(path: &str, cache: &'static str) -> Option<Response> {
    let file = Files::get(path)?;
    let kind = match path.rsplit('.').next()? {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" | "map" => "application/json",
        _ => "application/octet-stream",
    };
    let mut response = file.data.into_owned().into_response();
    let header = |name: HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
    let headers =
        [header(CONTENT_TYPE, kind), header(CACHE_CONTROL, cache), header(CONTENT_SECURITY_POLICY, POLICY)];
    response.headers_mut().extend(headers);
    Some(response)
}
