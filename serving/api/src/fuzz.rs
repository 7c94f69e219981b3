//! Doors of the fuzz targets to parsers that are nobody else's business. Each panics where its parser breaks a promise.

use crate::openai::ChatRequest;

/// A body of `POST /v1/chat/completions`: refused in OpenAI's words, or a request that names a model and has turns.
pub fn chat_request(body: &[u8]) {
    match ChatRequest::parse(body) {
        Ok(request) => assert!(!request.model.is_empty() && !request.messages.is_empty()),
        Err(error) => assert!(error.body()["error"]["message"].is_string()),
    }
}
