//! `GET /v1/openapi.json`: every call with its parameters, bodies, answers and errors, as OpenAPI 3.1.
//!
//! One table of calls and one of shapes, written in a line each; a test holds the first against the router, and the
//! system tests hold the second against what the server answers. Checked as [`utoipa::openapi::OpenApi`] when it is built.

use axum::Json;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::error::ApiError;

mod calls;
mod shapes;

use calls::{CALLS, Call};
use shapes::SHAPES;

pub(crate) async fn get() -> Result<Json<OpenApi>, ApiError> {
    document().map(Json).map_err(|error| ApiError::internal(&error))
}

/// The document.
pub(crate) fn document() -> Result<OpenApi, serde_json::Error> {
    let mut paths = Map::new();
    for call in CALLS {
        let path = paths.entry(call.path).or_insert_with(|| json!({}));
        path[call.method] = operation(call);
    }
    let mut schemas: Map<String, Value> =
        SHAPES.iter().map(|(name, fields)| ((*name).to_owned(), object(fields))).collect();
    let kinds: Vec<&str> = crave_schemas::Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    schemas.insert("Kind".into(), json!({ "type": "string", "enum": kinds }));
    serde_json::from_value(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Crave Wave", "version": env!("CARGO_PKG_VERSION"),
            "description": "Streaming craving intelligence. It informs; it does not diagnose or treat. Times are RFC 3339 in UTC; \
                            what is another person's is answered as what does not exist.",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": {
                "type": "http", "scheme": "bearer",
                "description": "made by `crave token add --user U [--device D]`; it stands for one person",
            } },
        },
    }))
}

fn operation(call: &Call) -> Value {
    let named = call.path.split('{').skip(1).filter_map(|part| part.split_once('}')).map(
        |(name, _)| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }),
    );
    let asked = fields(call.query).map(|(name, kind, optional)| {
        json!({ "name": name, "in": "query", "required": !optional, "schema": schema(kind) })
    });
    let mut responses = Map::new();
    let (status, answer) = call.answer;
    let mut answered = json!({ "description": call.says });
    if !answer.is_empty() {
        answered["content"] = content(answer);
    }
    responses.insert(status.to_owned(), answered);
    let errors = call.errors.split_whitespace().chain((!call.open).then_some("401"));
    for status in errors.chain(["500"]) {
        let means = match status {
            "400" => "a field is wrong; `error.field` says which, `error.message` what it must be",
            "401" => "no valid bearer token",
            "404" => "there is no such thing of the caller's",
            "409" => "it conflicts with what is there",
            "413" => "larger than may be sent",
            "429" => "too much at once; see Retry-After",
            "503" => "a part cannot be used at present; see Retry-After",
            _ => "the server failed; its log says why",
        };
        responses.insert(status.to_owned(), json!({ "description": means, "content": content("Failure") }));
    }
    let mut operation = json!({
        "summary": call.says, "operationId": id(call), "tags": [tag(call.path)],
        "parameters": named.chain(asked).collect::<Vec<_>>(), "responses": responses,
    });
    if !call.body.is_empty() {
        operation["requestBody"] = json!({ "required": true, "content": content(call.body) });
    }
    if call.open {
        operation["security"] = json!([]);
    }
    operation
}

/// What the call is about: the part of the path behind the version.
fn tag(path: &str) -> &str {
    path.trim_start_matches("/v1").split('/').nth(1).filter(|tag| !tag.is_empty()).unwrap_or("page")
}

/// `get_conversations_id_messages`: unique, for generated clients.
fn id(call: &Call) -> String {
    let words = call
        .path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty() && *word != "v1");
    std::iter::once(call.method).chain(words).collect::<Vec<_>>().join("_")
}

/// A media type and a shape in it: `Name`, `[Name]`, `text/csv`.
fn content(shape: &str) -> Value {
    match shape.contains('/') {
        true => json!({ shape: { "schema": { "type": "string" } } }),
        false => json!({ "application/json": { "schema": schema(shape) } }),
    }
}

fn schema(kind: &str) -> Value {
    if let Some(of) = kind.strip_prefix('[').and_then(|kind| kind.strip_suffix(']')) {
        return json!({ "type": "array", "items": schema(of) });
    }
    match kind {
        "str" => json!({ "type": "string" }),
        "int" => json!({ "type": "integer" }),
        "num" => json!({ "type": "number" }),
        "bool" => json!({ "type": "boolean" }),
        "time" => json!({ "type": "string", "format": "date-time" }),
        "uuid" => json!({ "type": "string", "format": "uuid" }),
        "any" => json!({ "type": ["string", "number", "boolean", "array", "object", "null"] }),
        "obj" => json!({ "type": "object", "additionalProperties": true }),
        name => json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}

/// Fields as they are written: `name:kind`, with a `?` where one may be absent or null.
fn fields(text: &str) -> impl Iterator<Item = (&str, &str, bool)> {
    text.split_whitespace().filter_map(|field| {
        let (name, kind) = field.split_once(':')?;
        Some((name, kind.trim_end_matches('?'), kind.ends_with('?')))
    })
}

fn object(text: &str) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, kind, optional) in fields(text) {
        let of = match (schema(kind), optional) {
            (schema, false) => schema,
            (schema, true) if schema.get("type").is_some_and(Value::is_string) => {
                let mut schema = schema;
                schema["type"] = json!([schema["type"], "null"]);
                schema
            }
            (schema, true) if schema.get("type").is_some_and(Value::is_array) => schema,
            (schema, true) => json!({ "oneOf": [{ "type": "null" }, schema] }),
        };
        properties.insert(name.to_owned(), of);
        if !optional {
            required.push(name);
        }
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The calls of the router, as its source has them: `.route("PATH", get(…).post(…))`.
    fn routed() -> BTreeSet<(String, String)> {
        let source = include_str!("routes/mod.rs");
        let mut found = BTreeSet::new();
        for route in source.split(".route(").skip(1) {
            let Some(path) = route.split('"').nth(1) else { continue };
            let after = &route[route.find(path).unwrap() + path.len()..];
            // Up to the layer, or the route's end: what follows is another one's.
            let methods = after.split(".layer(").next().unwrap();
            for method in ["get", "post", "put", "patch", "delete"] {
                let called = methods.match_indices(&format!("{method}(")).any(|(at, _)| {
                    !methods[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                });
                if called {
                    found.insert((method.to_owned(), path.to_owned()));
                }
            }
        }
        found
    }

    #[test]
    fn every_call_of_the_router_is_described_and_no_other() {
        let described: BTreeSet<_> =
            CALLS.iter().map(|call| (call.method.to_owned(), call.path.to_owned())).collect();
        assert_eq!(described.len(), CALLS.len(), "none twice");
        let routed = routed();
        assert!(routed.len() > 40, "{routed:?}");
        assert_eq!(described, routed);
    }

    #[test]
    fn the_document_is_whole() {
        let document = serde_json::to_value(document().unwrap()).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name} is not described");
        }
        let ids: BTreeSet<String> = CALLS.iter().map(id).collect();
        assert_eq!(ids.len(), CALLS.len(), "operation ids are unique");
        let patch = &document["paths"]["/v1/cravings/{id}"]["patch"];
        assert!(patch["responses"]["409"].is_object() && patch["requestBody"].is_object(), "{patch}");
        assert_eq!(document["paths"]["/health/live"]["get"]["security"], json!([]));
        assert_eq!(document["security"], json!([{ "token": [] }]));
        let craving = &document["components"]["schemas"]["Craving"];
        assert_eq!(craving["properties"]["note"]["type"], json!(["string", "null"]), "{craving}");
    }
}
