//! `crave adapters`: the LoRA adapters in a folder, served or not.

use std::{path::PathBuf, process::ExitCode};

use bytesize::ByteSize;
use clap::Subcommand;
use crave_lora::{AdapterStore, Model};
use serde_json::json;

use super::serve_model::{Changed, Client, Listed, Numbers};

/// What to do with adapters. A server that serves the folder follows at once, without dropping a request.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder of adapters.
    #[arg(long, global = true, default_value = "adapters", env = "CRAVE_ADAPTERS")]
    adapters: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check an adapter against its base, then add it, or put it in the place of the one of that name.
    Add {
        /// Its name, which requests ask for as their model.
        name: String,
        /// A folder as PEFT writes it, or its URL in an object store, such as `s3://…`; credentials are taken from the
        /// environment (`AWS_ACCESS_KEY_ID`, …).
        source: String,
        /// The base, where no server runs that has it.
        #[arg(long)]
        model: Option<PathBuf>,
        /// Other names of the base by which the adapter may know it.
        #[arg(long = "base-name")]
        base_names: Vec<String>,
    },
    /// Every adapter: version, what of it is in memory, how many requests hold it.
    List,
    /// Keep an adapter in memory, now and after a restart.
    Pin {
        /// Its name.
        name: String,
    },
    /// Let it go again when memory is needed.
    Unpin {
        /// Its name.
        name: String,
    },
    /// Take an adapter out of memory, once the requests that hold it have ended; the next request loads it again.
    Unload {
        /// Its name.
        name: String,
    },
    /// Delete an adapter, once the requests that hold it have ended.
    Rm {
        /// Its name.
        name: String,
    },
}

pub(crate) async fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let server = Client::connect(&args.adapters).await?;
    let store = AdapterStore::open(&args.adapters)?;
    match &args.action {
        Action::Add { name, source, model, base_names } => {
            let source = absolute(source);
            let changed = match &server {
                Some(server) => server.add(name, &source).await?,
                None => add(&store, (name, &source), model.as_ref(), base_names).await?,
            };
            told_added(name, &changed, json);
        }
        Action::List => {
            let listed = match &server {
                Some(server) => server.list().await?,
                None => on_disk(&store)?,
            };
            listed.iter().for_each(|adapter| told(adapter, json));
        }
        Action::Pin { name } => pin(server.as_ref(), &store, name, true).await?,
        Action::Unpin { name } => pin(server.as_ref(), &store, name, false).await?,
        Action::Unload { name } => {
            let Some(server) = &server else {
                anyhow::bail!("no server serves {}: nothing is in memory", args.adapters.display());
            };
            freed(name, server.free(name, "unload").await?, json);
        }
        Action::Rm { name } => {
            let bytes = match &server {
                Some(server) => server.free(name, "remove").await?,
                None => {
                    store.remove(name)?;
                    store.sweep(name)?;
                    0
                }
            };
            freed(name, bytes, json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The server may run in another folder.
fn absolute(source: &str) -> String {
    if source.contains("://") {
        return source.to_owned();
    }
    std::path::absolute(source).map_or_else(|_| source.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// Without a server the base is loaded here, to check the adapter against it.
async fn add(
    store: &AdapterStore,
    (name, source): (&str, &str),
    model: Option<&PathBuf>,
    base_names: &[String],
) -> anyhow::Result<Changed> {
    let Some(model) = model else {
        anyhow::bail!(
            "no server serves this folder; name the base with --model, so that the adapter can be checked"
        );
    };
    let staged = store.fetch(name, source).await?;
    let added = tokio::task::block_in_place(|| {
        let base = Model::load(model, Numbers::F32.into())?;
        let added = store.add(&staged, &base, base_names)?;
        store.sweep(name)?;
        Ok::<_, crave_lora::Error>(added)
    })?;
    Ok(Changed::of(added, None))
}

async fn pin(server: Option<&Client>, store: &AdapterStore, name: &str, pinned: bool) -> anyhow::Result<()> {
    match server {
        Some(server) => server.pin(name, pinned).await,
        None => Ok(store.pin(name, pinned)?),
    }
}

fn on_disk(store: &AdapterStore) -> anyhow::Result<Vec<Listed>> {
    let listed = store.list()?.into_iter().map(|stored| Listed {
        name: stored.name,
        version: stored.version,
        pinned: stored.pinned,
        generation: None,
        bytes: 0,
        requests: 0,
    });
    Ok(listed.collect())
}

fn told_added(name: &str, changed: &Changed, json: bool) {
    if json {
        println!("{}", json!({ "name": name, "added": changed }));
        return;
    }
    let how = if changed.replaced { "replaced" } else { "added" };
    let now = changed.generation.map_or(String::new(), |number| format!(", answers as generation {number}"));
    println!("{name} {how}: version {}, {}{now}", short(&changed.version), ByteSize(changed.bytes));
}

fn told(adapter: &Listed, json: bool) {
    if json {
        println!("{}", json!(adapter));
        return;
    }
    let version = adapter.version.as_deref().map_or("put there by hand", short);
    let place = match adapter.generation {
        Some(number) => format!("in memory, generation {number}, {}", ByteSize(adapter.bytes)),
        None => "on disk".to_owned(),
    };
    let pinned = if adapter.pinned { ", pinned" } else { "" };
    println!("{}  {version}  {place}{pinned}, {} requests", adapter.name, adapter.requests);
}

fn freed(name: &str, bytes: u64, json: bool) {
    if json {
        println!("{}", json!({ "name": name, "freed_bytes": bytes }));
    } else {
        println!("{name}: {} of memory freed", ByteSize(bytes));
    }
}

fn short(version: &str) -> &str {
    version.get(..16).unwrap_or(version)
}
