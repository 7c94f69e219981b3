//! `GET /v1/models` and `GET /v1/models/{id}`: the base, and the adapters that the caller may use.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};

use super::{ModelServer, keys::Holder};
use crate::openai::OpenAiError;

pub(super) async fn list(
    State(server): State<ModelServer>,
    holder: Holder,
) -> Result<Json<Value>, OpenAiError> {
    let base = server.engine.model().name();
    let registry = server.engine.registry().clone();
    let listed = tokio::task::spawn_blocking(move || registry.list()).await;
    let adapters = listed.map_err(|error| OpenAiError::internal(&error))??;
    let keys = server.keys.borrow().clone();
    let names = adapters.into_iter().map(|info| info.name);
    let adapters = names.filter(|name| *name != base && keys.may_use(&holder, name));
    let models = std::iter::once(model(&server, &base)).chain(adapters.map(|name| model(&server, &name)));
    Ok(Json(json!({ "object": "list", "data": models.collect::<Vec<_>>() })))
}

pub(super) async fn one(
    State(server): State<ModelServer>,
    holder: Holder,
    Path(id): Path<String>,
) -> Result<Json<Value>, OpenAiError> {
    let known = id == server.engine.model().name()
        || (server.keys.borrow().may_use(&holder, &id) && server.engine.registry().contains(&id));
    if known { Ok(Json(model(&server, &id))) } else { Err(OpenAiError::model_not_found(&id)) }
}

/// `parent` is the base of an adapter, as vLLM tells it.
fn model(server: &ModelServer, name: &str) -> Value {
    let base = server.engine.model().name();
    json!({
        "id": name, "object": "model", "created": server.started, "owned_by": "crave-wave",
        "root": base, "parent": (name != base).then_some(&base),
        "max_model_len": server.engine.context(),
    })
}
