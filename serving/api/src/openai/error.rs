//! Failures in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::error::close_unread;

/// When a request that found no place should come again.
const RETRY_AFTER_S: u64 = 1;
/// The same, of a server that stops.
const RESTART_S: u64 = 10;

/// A failed request.
#[derive(Debug)]
pub(crate) struct OpenAiError {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    /// The field of the request that is to blame.
    param: Option<&'static str>,
    message: String,
    retry_after_s: Option<u64>,
}

impl OpenAiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code: None, param: None, message: message.into(), retry_after_s: None }
    }

    /// 400: `param` is wrong; `message` says what is allowed.
    pub(crate) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message);
        Self { param: Some(param), ..error }
    }

    /// 400: the body is no request at all.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// 413.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", message)
    }

    /// 400: prompt and answer do not fit into the context.
    pub(crate) fn context_length(message: impl Into<String>) -> Self {
        Self { code: Some("context_length_exceeded"), ..Self::invalid("messages", message) }
    }

    /// 401.
    pub(crate) fn unauthorized() -> Self {
        let message = "a valid key is needed: Authorization: Bearer …";
        let error = Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message);
        Self { code: Some("invalid_api_key"), ..error }
    }

    /// 404, in the same words whether there is no such model or the caller may not use it.
    pub(crate) fn model_not_found(name: &str) -> Self {
        let message = format!("the model {name:?} does not exist or you do not have access to it");
        let error = Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message);
        Self { code: Some("model_not_found"), param: Some("model"), ..error }
    }

    /// 404: no such route.
    pub(crate) fn no_route(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", format!("there is nothing at {path}"))
    }

    /// 429, with when to come again.
    pub(crate) fn overloaded(message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
        Self { code: Some("rate_limit_exceeded"), retry_after_s: Some(RETRY_AFTER_S), ..error }
    }

    /// 503, with when to come again.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message);
        Self { retry_after_s: Some(RESTART_S), ..error }
    }

    /// 500; the cause goes to the log alone.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "chat completion failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "the server failed; its log says why")
    }

    /// The body, also of an event in a stream that has begun.
    pub(crate) fn body(&self) -> Value {
        json!({ "error": {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
        } })
    }
}

impl IntoResponse for OpenAiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        close_unread(&mut response);
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<crave_lora::Error> for OpenAiError {
    fn from(error: crave_lora::Error) -> Self {
        use crave_lora::{Error, ErrorKind};
        match &error {
            Error::NoAdapter(name) => Self::model_not_found(name),
            Error::ContextLength { .. } => Self::context_length(error.to_string()),
            Error::Invalid { field, .. } => Self::invalid(field, error.to_string()),
            Error::Template(_) => Self::invalid("messages", error.to_string()),
            // Its text names files.
            Error::Unusable { name, .. } => {
                Self::unavailable(format!("the model {name:?} cannot be used now; the server's log says why"))
            }
            _ => match error.kind() {
                ErrorKind::Overloaded => Self::overloaded(error.to_string()),
                ErrorKind::Unavailable => Self::unavailable(error.to_string()),
                _ => Self::internal(&error),
            },
        }
    }
}
