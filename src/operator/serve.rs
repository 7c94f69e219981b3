//! The side of the server: the operator's socket in its home.

use std::sync::Arc;

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRef, Path, Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use crave_api::Erasures;
use crave_connect::DeadLetter;
use crave_insight::{Item, Memories};
use crave_lake::{Scope, to_ipc};
use crave_recall::{Hit, MemoryId};
use crave_schemas::{Event, UserId};
use crave_tables::{Repaired, Verdict};
use serde::Deserialize;

use super::{
    CUT, Question,
    search::{self, Sought},
};
use crate::{
    home::Home,
    node::{Core, Dead, Fate, Planned, Status},
    socket::{self, Failed},
};

/// Bytes of one batch of events.
const BODY_BYTES_MAX: usize = 1 << 30;

/// Serves the operator's commands until the future is dropped. The home's lock is held, so a socket that is there
/// already is a dead server's.
pub(crate) async fn listen(
    home: &Home,
    core: Arc<Core>,
    memories: Arc<Memories>,
    erasures: Option<Erasures>,
) -> anyhow::Result<()> {
    let listener = socket::listen(&home.socket())?;
    let router = Router::new()
        .route("/feed", post(feed))
        .route("/drain", post(drain))
        .route("/verify", post(verify))
        .route("/plan", get(plan))
        .route("/status", get(status))
        .route("/sql", post(sql))
        .route("/deploy", post(deploy))
        .route("/dead", get(dead))
        .route("/dead/{name}", get(dead_letter))
        .route("/dead/{name}/retry", post(retry))
        .route("/search", post(search))
        .route("/memories/{user}", get(remembered))
        .route("/memories/{user}/{id}", get(memory))
        .route("/memories/{user}/{id}/correct", post(correct))
        .route("/memories/{user}/{id}/delete", post(forget))
        .route("/erase", post(erase))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Served { core, memories, erasures });
    axum::serve(listener, router).await.context("serving the operator's socket")
}

/// What the operator reaches.
#[derive(Clone)]
struct Served {
    core: Arc<Core>,
    memories: Arc<Memories>,
    erasures: Option<Erasures>,
}

impl FromRef<Served> for Arc<Memories> {
    fn from_ref(served: &Served) -> Self {
        Arc::clone(&served.memories)
    }
}

impl FromRef<Served> for Arc<Core> {
    fn from_ref(served: &Served) -> Self {
        Arc::clone(&served.core)
    }
}

type Answer<T> = Result<Json<T>, Failed>;

async fn feed(State(core): State<Arc<Core>>, body: String) -> Answer<Vec<Fate>> {
    let now = core.clock.now();
    let parsed: Vec<_> = body.lines().map(|line| Event::parse(line.as_bytes(), None, now)).collect();
    let good = parsed.iter().filter_map(|event| event.as_ref().ok().cloned()).collect();
    let mut fates = core.feed(good).await?.into_iter();
    let each = parsed.into_iter().map(|event| match event {
        Ok(_) => fates.next().context("an event was sent and not judged; please report this"),
        Err(refusal) => Ok(Fate::Refused(refusal.code)),
    });
    Ok(Json(each.collect::<anyhow::Result<_>>()?))
}

async fn drain(State(core): State<Arc<Core>>) -> Answer<Repaired> {
    Ok(Json(core.drain().await?))
}

async fn verify(State(core): State<Arc<Core>>) -> Answer<Vec<Verdict>> {
    Ok(Json(core.verify(None).await?))
}

async fn status(State(core): State<Arc<Core>>) -> Answer<Status> {
    Ok(Json(core.status().await?))
}

async fn sql(
    State(core): State<Arc<Core>>,
    Json(Question { sql, user }): Json<Question>,
) -> Result<Response, Failed> {
    let scope = user.map(UserId::new).transpose()?.map_or(Scope::Operator, Scope::User);
    let answer = core.lake.query(&scope, &sql, &[]).await?;
    let cut = if answer.cut { "true" } else { "false" };
    Ok(([(CUT, cut)], to_ipc(&answer.schema, &answer.batches)?).into_response())
}

async fn plan(State(core): State<Arc<Core>>) -> Answer<Vec<Planned>> {
    Ok(Json(core.plan().await?))
}

async fn deploy(State(core): State<Arc<Core>>) -> Answer<Vec<Planned>> {
    Ok(Json(core.deploy().await?))
}

#[derive(Deserialize)]
struct Limit {
    limit: usize,
}

async fn dead(State(core): State<Arc<Core>>, Query(Limit { limit }): Query<Limit>) -> Answer<Vec<Dead>> {
    Ok(Json(core.dead(limit).await?))
}

async fn dead_letter(State(core): State<Arc<Core>>, Path(name): Path<String>) -> Answer<DeadLetter> {
    Ok(Json(core.dead_letter(&name).await?))
}

async fn retry(State(core): State<Arc<Core>>, Path(name): Path<String>) -> Answer<()> {
    core.retry(&name).await?;
    Ok(Json(()))
}

async fn search(State(served): State<Served>, Json(sought): Json<Sought>) -> Answer<Vec<Hit>> {
    let now = served.core.clock.now();
    Ok(Json(search::search(&served.memories, sought, now).await?))
}

async fn remembered(State(memories): State<Arc<Memories>>, Path(user): Path<UserId>) -> Answer<Vec<Item>> {
    Ok(Json(memories.export(&user).await?))
}

async fn memory(
    State(memories): State<Arc<Memories>>,
    Path((user, id)): Path<(UserId, MemoryId)>,
) -> Answer<Item> {
    Ok(Json(memories.get(&user, id).await?))
}

async fn correct(
    State(memories): State<Arc<Memories>>,
    Path((user, id)): Path<(UserId, MemoryId)>,
    Json(text): Json<String>,
) -> Answer<Item> {
    Ok(Json(memories.correct(&user, id, &text).await?))
}

async fn forget(
    State(memories): State<Arc<Memories>>,
    Path((user, id)): Path<(UserId, MemoryId)>,
) -> Answer<()> {
    memories.delete(&user, id).await?;
    Ok(Json(()))
}

/// Tells that an erasure was asked for; the server begins it soon.
async fn erase(State(served): State<Served>) -> Answer<()> {
    served.erasures.context("this server cannot erase: it does not run all parts over a local log")?.tell();
    Ok(Json(()))
}
