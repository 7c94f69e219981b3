//! How `crave adapters` speaks with the server that serves a folder of adapters: HTTP over a socket in that folder, which
//! only its owner can open.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{Path as Of, State},
    routing::{get, post},
};
use crave_lora::{AdapterStore, Added, Engine, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::socket::{self, Failed};

/// How long requests that hold an adapter are waited for.
const DRAIN_MAX: Duration = Duration::from_secs(60);

fn at(adapters: &Path) -> PathBuf {
    adapters.join(".serve.sock")
}

/// Takes the socket away at the end.
pub(super) fn remove(adapters: &Path) {
    let _ = fs::remove_file(at(adapters));
}

/// Where an adapter is to be fetched from, as it travels.
#[derive(Debug, Serialize, Deserialize)]
struct Source {
    source: String,
}

/// An adapter as a server knows it, or as it lies on disk where none runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) pinned: bool,
    /// The generation in memory.
    pub(crate) generation: Option<u64>,
    /// Bytes of memory that it takes; 0 when it is not there.
    pub(crate) bytes: u64,
    /// Requests that hold it.
    pub(crate) requests: usize,
}

/// What adding changed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Changed {
    pub(crate) version: String,
    pub(crate) bytes: u64,
    pub(crate) replaced: bool,
    /// The generation that now answers, where the adapter was in memory.
    pub(crate) generation: Option<u64>,
}

impl Changed {
    pub(crate) fn of(added: Added, generation: Option<u64>) -> Self {
        let Added { version, bytes, replaced } = added;
        Self { version, bytes, replaced, generation }
    }
}

/// The side of the server.
#[derive(Clone, Debug)]
pub(super) struct Served {
    store: AdapterStore,
    engine: Engine,
    base_names: Vec<String>,
}

impl Served {
    pub(super) fn new(store: AdapterStore, engine: Engine, base_names: Vec<String>) -> Self {
        Self { store, engine, base_names }
    }

    /// Serves until the future is dropped. Fails where another server has the folder.
    pub(super) async fn listen(self, adapters: &Path) -> anyhow::Result<()> {
        let at = at(adapters);
        anyhow::ensure!(
            !socket::is_served(&at).await,
            "{}: another server serves this folder and answers `crave adapters`",
            at.display()
        );
        let listener = socket::listen(&at)?;
        let router = Router::new()
            .route("/", get(list))
            .route("/{name}/add", post(add))
            .route("/{name}/remove", post(remove_one))
            .route("/{name}/unload", post(unload))
            .route("/{name}/pin", post(|served, name| pin(served, name, true)))
            .route("/{name}/unpin", post(|served, name| pin(served, name, false)))
            .with_state(self);
        axum::serve(listener, router).await.context("serving the adapters' socket")
    }

    /// Loads and waits block.
    async fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce(Self) -> Result<T, crave_lora::Error> + Send + 'static,
    ) -> Result<T, Failed> {
        let done = tokio::task::spawn_blocking(move || work(self)).await;
        done.map_err(anyhow::Error::new)?.map_err(Failed::from)
    }

    /// Bytes that taking `name` out of memory freed; 0 where it was not there.
    fn free(&self, name: &str) -> Result<u64, crave_lora::Error> {
        match self.engine.registry().unload(name, DRAIN_MAX) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            other => other,
        }
    }
}

async fn list(State(served): State<Served>) -> Result<Json<Vec<Listed>>, Failed> {
    let listed = served.blocking(|served| {
        let known = served.engine.registry().list()?;
        let stored = served.store.list()?.into_iter().map(|stored| {
            let info = known.iter().find(|info| info.name == stored.name);
            let resident = info.and_then(|info| info.resident);
            Listed {
                name: stored.name,
                version: stored.version,
                pinned: stored.pinned,
                generation: resident.map(|(generation, _)| generation),
                bytes: resident.map_or(0, |(_, bytes)| bytes),
                requests: info.map_or(0, |info| info.leases),
            }
        });
        Ok(stored.collect::<Vec<_>>())
    });
    Ok(Json(listed.await?))
}

/// Requests that hold the old version end with it; the next ones get the new.
async fn add(
    State(served): State<Served>,
    Of(name): Of<String>,
    Json(Source { source }): Json<Source>,
) -> Result<Json<Changed>, Failed> {
    let staged = served.store.fetch(&name, &source).await?;
    let changed = served.blocking(move |served| {
        let added = served.store.add(&staged, served.engine.model(), &served.base_names)?;
        let generation = served.engine.registry().refresh(&name)?;
        served.store.sweep(&name)?;
        Ok(Changed::of(added, generation))
    });
    Ok(Json(changed.await?))
}

async fn remove_one(State(served): State<Served>, Of(name): Of<String>) -> Result<Json<u64>, Failed> {
    let freed = served.blocking(move |served| {
        // First its name, so that nobody loads it again.
        served.store.remove(&name)?;
        let freed = served.free(&name)?;
        served.store.sweep(&name)?;
        Ok(freed)
    });
    Ok(Json(freed.await?))
}

async fn unload(State(served): State<Served>, Of(name): Of<String>) -> Result<Json<u64>, Failed> {
    let freed = served.blocking(move |served| {
        served.store.pin(&name, false)?;
        served.free(&name)
    });
    Ok(Json(freed.await?))
}

async fn pin(State(served): State<Served>, Of(name): Of<String>, pinned: bool) -> Result<Json<()>, Failed> {
    let done = served.blocking(move |served| {
        served.store.pin(&name, pinned)?;
        let registry = served.engine.registry();
        registry.pin(&name, pinned)?;
        if pinned {
            registry.load(&name)?;
        }
        Ok(())
    });
    Ok(Json(done.await?))
}

/// The side of the command.
pub(crate) struct Client(socket::Client);

impl Client {
    /// `None` where no server serves the folder.
    pub(crate) async fn connect(adapters: &Path) -> anyhow::Result<Option<Self>> {
        Ok(socket::Client::connect(&at(adapters), "these adapters").await?.map(Self))
    }

    pub(crate) async fn list(&self) -> anyhow::Result<Vec<Listed>> {
        self.0.answer(self.0.get("")).await
    }

    pub(crate) async fn add(&self, name: &str, source: &str) -> anyhow::Result<Changed> {
        let source = Source { source: source.to_owned() };
        self.0.answer(self.0.post(&of(name, "add")?).json(&source)).await
    }

    /// One of `remove` and `unload`; returns the bytes freed.
    pub(crate) async fn free(&self, name: &str, how: &str) -> anyhow::Result<u64> {
        self.0.answer(self.0.post(&of(name, how)?)).await
    }

    pub(crate) async fn pin(&self, name: &str, pinned: bool) -> anyhow::Result<()> {
        let how = if pinned { "pin" } else { "unpin" };
        self.0.answer(self.0.post(&of(name, how)?)).await
    }
}

/// A name with a slash in it would be another path.
fn of(name: &str, how: &str) -> Result<String, crave_lora::Error> {
    AdapterStore::check_name(name)?;
    Ok(format!("{name}/{how}"))
}
