//! Arroyo's REST API as its source (0.16-dev) has it, in this process: the routes, bodies, errors and job states that a
//! deployment meets. No query is planned or run.
//!
//! Words in a query steer it: `cannot_plan`, `fails_running`, `ends` (bounded).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{delete, get, patch, post},
};
use serde_json::{Value, json};

/// What goes wrong with the next request whose `METHOD /path` begins with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered with this status and not carried out.
    Status(u16),
    /// It is carried out and then answered with 502.
    LostAnswer,
    /// The answer is a web page.
    Page,
}

#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) parallelism: u64,
    pub(crate) interval: u64,
    pub(crate) stop: String,
    pub(crate) state: String,
    pub(crate) restart: bool,
    pub(crate) failure: Option<String>,
    pub(crate) epoch: u64,
}

#[derive(Default)]
pub(crate) struct World {
    pub(crate) udfs: Vec<Value>,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) faults: VecDeque<(&'static str, Fault)>,
    /// `METHOD /path` of every request but GETs.
    pub(crate) writes: Vec<String>,
    pub(crate) reads: usize,
    pub(crate) token: Option<&'static str>,
    made: u64,
}

pub(crate) type Shared = Arc<Mutex<World>>;

pub(crate) fn world(shared: &Shared) -> MutexGuard<'_, World> {
    shared.lock().unwrap()
}

/// Starts the server; gives its address and its state.
pub(crate) async fn start() -> (String, Shared) {
    let shared = Shared::default();
    let api = Router::new()
        .route("/ping", get(|| async { Json("Pong") }))
        .route("/udfs", get(udfs).post(create_udf))
        .route("/udfs/validate", post(validate_udf))
        .route("/udfs/{id}", delete(delete_udf))
        .route("/pipelines", get(pipelines).post(create))
        .route("/pipelines/validate_query", post(validate_query))
        .route("/pipelines/{id}", patch(change).delete(remove))
        .route("/pipelines/{id}/restart", post(restart))
        .route("/pipelines/{id}/jobs", get(jobs))
        .route("/pipelines/{id}/jobs/{job}/errors", get(errors))
        .route("/pipelines/{id}/jobs/{job}/checkpoints", get(checkpoints))
        .layer(from_fn_with_state(Arc::clone(&shared), gate));
    let app = Router::new().nest("/api/v1", api).with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, shared)
}

fn refuse(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

fn bad(why: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, why)
}

fn gone(what: &str) -> Response {
    refuse(StatusCode::NOT_FOUND, &format!("{what} not found"))
}

/// Counts, checks the token, and lets things go wrong.
async fn gate(State(shared): State<Shared>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let call = format!("{} {}", request.method(), request.uri().path());
    let fault = {
        let mut world = world(&shared);
        if call.starts_with("GET") {
            world.reads += 1;
        } else {
            world.writes.push(call.clone());
        }
        if let Some(token) = world.token {
            let given = headers.get("authorization").and_then(|v| v.to_str().ok());
            if given != Some(&format!("Bearer {token}")) {
                return refuse(StatusCode::UNAUTHORIZED, "Unauthorized");
            }
        }
        match world.faults.front() {
            Some((begins, fault)) if call.starts_with(begins) => {
                let fault = *fault;
                world.faults.pop_front();
                Some(fault)
            }
            _ => None,
        }
    };
    match fault {
        Some(Fault::Status(status)) => refuse(StatusCode::from_u16(status).unwrap(), "not available"),
        Some(Fault::Page) => "<html>another service</html>".into_response(),
        Some(Fault::LostAnswer) => {
            let _: Response = next.run(request).await;
            refuse(StatusCode::BAD_GATEWAY, "bad gateway")
        }
        None => next.run(request).await,
    }
}

async fn udfs(State(shared): State<Shared>) -> Response {
    Json(json!({ "data": world(&shared).udfs })).into_response()
}

fn name_of(definition: &str) -> Option<&str> {
    definition.split("#[udf]").nth(1)?.split("fn ").nth(1)?.split('(').next()
}

async fn create_udf(State(shared): State<Shared>, Json(body): Json<Value>) -> Response {
    let definition = body["definition"].as_str().unwrap();
    let Some(name) = name_of(definition).filter(|_| !definition.contains("compile_error")) else {
        return bad("UDF is invalid");
    };
    let mut world = world(&shared);
    if world.udfs.iter().any(|u| u["name"] == name) {
        return bad("udf with that name already exists");
    }
    world.made += 1;
    let udf = json!({ "id": format!("udf_{}", world.made), "prefix": body["prefix"], "name": name, "language": "rust",
        "created_at": 1, "updated_at": 1, "definition": definition, "description": body["description"],
        "dylib_url": "file:///artifacts/x.so" });
    world.udfs.push(udf.clone());
    Json(udf).into_response()
}

async fn validate_udf(Json(body): Json<Value>) -> Response {
    let definition = body["definition"].as_str().unwrap();
    let errors =
        if definition.contains("compile_error") { vec!["error: expected one of …"] } else { vec![] };
    Json(json!({ "udf_name": name_of(definition), "errors": errors })).into_response()
}

async fn delete_udf(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let mut world = world(&shared);
    let before = world.udfs.len();
    world.udfs.retain(|u| u["id"] != id.as_str());
    if world.udfs.len() == before { gone("UDF") } else { StatusCode::OK.into_response() }
}

async fn validate_query(Json(body): Json<Value>) -> Response {
    let query = body["query"].as_str().unwrap();
    Json(if query.contains("cannot_plan") {
        let span = json!({ "start": { "line": 3, "column": 8 }, "end": { "line": 3, "column": 12 } });
        json!({ "graph": null, "errors": [{ "message": "column 'x' not found", "span": span }, { "message": "and more" }] })
    } else {
        json!({ "graph": { "nodes": [], "edges": [] }, "errors": [] })
    })
    .into_response()
}

fn shown(p: &Pipeline) -> Value {
    json!({ "id": p.id, "name": p.name, "query": p.query, "udfs": [], "checkpoint_interval_micros": p.interval,
        "stop": p.stop, "created_at": 1, "action": "checkpoint", "action_text": "Stop", "action_in_progress": false,
        "graph": { "nodes": [{ "node_id": 1, "operator": "x", "description": "x", "parallelism": p.parallelism }], "edges": [] },
        "preview": false, "state_url": null, "tags": {} })
}

async fn pipelines(State(shared): State<Shared>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let of = |key: &str| query.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    let limit = of("limit").map_or(10, |l| l.parse().unwrap());
    let world = world(&shared);
    // Newest first; a page begins after the one named.
    let mut all = world.pipelines.iter().rev().peekable();
    if let Some(after) = of("starting_after") {
        for p in all.by_ref() {
            if p.id == after {
                break;
            }
        }
    }
    let page: Vec<_> = all.by_ref().take(limit).map(shown).collect();
    Json(json!({ "data": page, "hasMore": all.peek().is_some() })).into_response()
}

async fn create(State(shared): State<Shared>, Json(body): Json<Value>) -> Response {
    let interval = body["checkpoint_interval_micros"].as_u64().unwrap_or(10_000_000);
    let query = body["query"].as_str().unwrap();
    if query.contains("cannot_plan") {
        return bad("Failed to plan query:\n * column 'x' not found");
    }
    if !(1_000_000..=86_400_000_000).contains(&interval) {
        return bad("Checkpoint_interval_micros must be between 1 second and 1 day.");
    }
    let mut world = world(&shared);
    world.made += 1;
    let pipeline = Pipeline {
        id: format!("pl_{}", world.made),
        name: body["name"].as_str().unwrap().into(),
        query: query.into(),
        parallelism: body["parallelism"].as_u64().unwrap(),
        interval,
        stop: "none".into(),
        state: "Created".into(),
        restart: false,
        failure: None,
        epoch: 0,
    };
    let answer = shown(&pipeline);
    world.pipelines.push(pipeline);
    Json(answer).into_response()
}

async fn change(State(shared): State<Shared>, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    let mut world = world(&shared);
    let Some(p) = world.pipelines.iter_mut().find(|p| p.id == id) else { return gone("Job for pipeline") };
    if let Some(stop) = body["stop"].as_str() {
        p.stop = stop.into();
    }
    if let Some(parallelism) = body["parallelism"].as_u64().filter(|n| *n != p.parallelism) {
        p.parallelism = parallelism;
        if p.state == "Running" {
            p.state = "Rescaling".into();
        }
    }
    p.interval = body["checkpoint_interval_micros"].as_u64().unwrap_or(p.interval);
    Json(shown(p)).into_response()
}

async fn restart(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let mut world = world(&shared);
    let Some(p) = world.pipelines.iter_mut().find(|p| p.id == id) else { return gone("Pipeline") };
    p.restart = true;
    Json(shown(p)).into_response()
}

async fn remove(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let mut world = world(&shared);
    let Some(p) = world.pipelines.iter().find(|p| p.id == id) else { return gone("Pipeline") };
    if !["Stopped", "Finished", "Failed"].contains(&p.state.as_str()) {
        return bad(
            "Pipeline's jobs must be in a terminal state (stopped, finished, or failed) before it can be deleted",
        );
    }
    world.pipelines.retain(|p| p.id != id);
    StatusCode::OK.into_response()
}

/// One step of the controller's state machine.
fn step(p: &mut Pipeline) {
    let stopping = p.stop != "none";
    let next = match (p.state.as_str(), p.stop.as_str()) {
        ("Created", _) => "Compiling",
        ("Compiling", _) if !stopping => "Scheduling",
        ("Scheduling", _) if !stopping => "Running",
        ("Compiling" | "Scheduling", _) => "Stopping",
        ("Running", "checkpoint") => "CheckpointStopping",
        ("Running", "immediate" | "force" | "graceful") => "Stopping",
        ("Running", _) if p.query.contains("fails_running") => "Recovering",
        ("Running", _) if p.query.contains("ends") => "Finishing",
        ("Recovering", _) => "Failing",
        ("Failing", _) => {
            p.failure = Some("UDF panicked".into());
            "Failed"
        }
        ("CheckpointStopping", _) => {
            p.epoch += 1;
            "Stopping"
        }
        ("Stopping", _) => "Stopped",
        ("Stopped", "none") => "Compiling",
        ("Rescaling", _) => {
            p.epoch += 1;
            "Scheduling"
        }
        ("Finishing", _) => "Finished",
        ("Failed", _) if p.restart => {
            p.restart = false;
            p.failure = None;
            "Compiling"
        }
        _ => return,
    };
    p.state = next.into();
}

async fn jobs(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let mut world = world(&shared);
    let Some(p) = world.pipelines.iter_mut().find(|p| p.id == id) else { return gone("Pipeline") };
    step(p);
    let failure = p.failure.as_ref().map(|error| json!({ "error": error, "domain": "user" }));
    Json(json!({ "data": [{ "id": format!("job_{id}"), "pipeline_id": id, "running_desired": p.stop == "none",
        "state": p.state, "run_id": 1, "start_time": 1, "finish_time": null, "tasks": 3, "failure_reason": failure,
        "created_at": 1, "scheduler_config": {}, "env_vars": {} }] }))
    .into_response()
}

async fn errors(State(shared): State<Shared>, Path((id, _)): Path<(String, String)>) -> Response {
    let failed = world(&shared).pipelines.iter().any(|p| p.id == id && p.failure.is_some());
    let message = json!({ "id": "m_1", "created_at": 1, "operator_id": "udf", "task_index": 0, "level": "error",
        "message": "Task failed", "details": "index out of bounds", "error_domain": "user" });
    let data = if failed { vec![message] } else { vec![] };
    Json(json!({ "data": data, "hasMore": false })).into_response()
}

async fn checkpoints(State(shared): State<Shared>, Path((id, _)): Path<(String, String)>) -> Response {
    let epoch = world(&shared).pipelines.iter().find(|p| p.id == id).map_or(0, |p| p.epoch);
    let of = |epoch| {
        json!({ "epoch": epoch, "backend": "parquet", "checkpoint_type": "scheduled", "start_time": 1,
            "finish_time": 2, "events": [] })
    };
    Json(json!({ "data": (1..=epoch).map(of).collect::<Vec<_>>() })).into_response()
}
