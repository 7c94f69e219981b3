//! The one place that turns failures into HTTP.

use std::borrow::Cow;

use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use crave_schemas::{Code, Refusal};
use serde_json::json;

use crate::{AccountsError, BadBody};

/// A failed request: `{"error": {"kind", "message", "field"?}}`.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
    field: Option<Cow<'static, str>>,
    retry_after_s: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), field: None, retry_after_s: None }
    }

    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::BAD_REQUEST, "invalid", message) }
    }

    /// An event that is not taken.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let (status, kind) = match refusal.code {
            Code::Conflict => (StatusCode::CONFLICT, "conflict"),
            Code::Erased => (StatusCode::GONE, "erased"),
            _ => (StatusCode::BAD_REQUEST, "invalid"),
        };
        Self { field: Some(refusal.field.clone().into()), ..Self::new(status, kind, refusal.reason.as_str()) }
    }

    pub(crate) fn conflict(field: &'static str, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(StatusCode::CONFLICT, "conflict", message) }
    }

    #[cfg(test)]
    pub(crate) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    pub(crate) fn unauthorized() -> Self {
        let message =
            "a valid bearer token is needed: Authorization: Bearer …; make one with `crave token add`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(crate) fn overloaded(message: impl Into<String>, retry_after_s: u64) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", message);
        Self { retry_after_s: Some(retry_after_s), ..error }
    }

    pub(crate) fn unavailable(message: impl Into<String>, retry_after_s: u64) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        Self { retry_after_s: Some(retry_after_s), ..error }
    }

    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed; its log says why")
    }
}

impl ApiError {
    /// The body, also of an event in a stream that has begun.
    pub(crate) fn body(&self) -> serde_json::Value {
        let mut body = json!({ "error": { "kind": self.kind, "message": self.message } });
        if let Some(field) = &self.field {
            body["error"]["field"] = (&**field).into();
        }
        body
    }
}

/// A body that was too large has not been read to its end: the connection is of no more use, and the client is told so
/// before it sends its next request into it.
pub(crate) fn close_unread(response: &mut Response) {
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        close_unread(&mut response);
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<BadBody> for ApiError {
    fn from(error: BadBody) -> Self {
        match error {
            BadBody::TooMany(_) => Self::too_large(error.to_string()),
            _ => Self::invalid("body", error.to_string()),
        }
    }
}

impl From<crave_connect::Error> for ApiError {
    fn from(error: crave_connect::Error) -> Self {
        match error {
            crave_connect::Error::Full { retry_after_s, .. } => {
                Self::unavailable(error.to_string(), retry_after_s.into())
            }
            _ if error.kind() == crave_connect::Kind::Unavailable => {
                tracing::error!(%error, "event log");
                Self::unavailable("the event log cannot be used at present", 30)
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<crave_lake::Error> for ApiError {
    fn from(error: crave_lake::Error) -> Self {
        match error.kind() {
            crave_lake::Kind::Invalid => Self::invalid("sql", error.to_string()),
            crave_lake::Kind::Overloaded => Self::overloaded(error.to_string(), 1),
            crave_lake::Kind::Unavailable => {
                tracing::error!(%error, "tables");
                Self::unavailable("the tables cannot be read at present", 5)
            }
        }
    }
}

impl From<crave_persona::Error> for ApiError {
    fn from(error: crave_persona::Error) -> Self {
        match error {
            crave_persona::Error::Lake(error) => error.into(),
            _ => Self::internal(&error),
        }
    }
}

impl From<crave_insight::Error> for ApiError {
    fn from(error: crave_insight::Error) -> Self {
        match error.kind() {
            crave_insight::Kind::Invalid => match &error {
                crave_insight::Error::Question(_) => Self::invalid("question", error.to_string()),
                crave_insight::Error::Recall(error) => Self::invalid("text", error.to_string()),
                crave_insight::Error::LastMessage => Self::invalid("messages", error.to_string()),
                crave_insight::Error::ContextLength { .. } => {
                    Self::new(StatusCode::BAD_REQUEST, "context_length_exceeded", error.to_string())
                }
                _ => Self::invalid("id", error.to_string()),
            },
            crave_insight::Kind::NotFound => Self::not_found(error.to_string()),
            crave_insight::Kind::Overloaded => Self::overloaded("too many questions at once; try again", 1),
            crave_insight::Kind::Unavailable => {
                tracing::error!(%error, "insights");
                Self::unavailable("answers cannot be given at present", 5)
            }
            // The cause may quote the SQL, and that the person's labels: it is for `debug` alone.
            crave_insight::Kind::Internal => {
                tracing::debug!(cause = ?error, "insights");
                Self::internal(&error)
            }
        }
    }
}

impl From<crave_insight::documents::Error> for ApiError {
    fn from(error: crave_insight::documents::Error) -> Self {
        use crave_insight::documents::Error;
        match error {
            Error::Name => Self::invalid("name", error.to_string()),
            Error::Format | Error::Unreadable(_) => Self::invalid("document", error.to_string()),
            Error::Full => Self::new(StatusCode::CONFLICT, "full", error.to_string()),
            Error::Store(_) => {
                // The cause may name files, never what is in them.
                tracing::error!(cause = ?error, "documents");
                Self::unavailable(error.to_string(), 30)
            }
        }
    }
}

impl From<AccountsError> for ApiError {
    fn from(error: AccountsError) -> Self {
        Self::internal(&error)
    }
}

impl From<arrow::error::ArrowError> for ApiError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::internal(&error)
    }
}
