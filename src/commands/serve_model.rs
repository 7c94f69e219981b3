//! `crave serve-model`: a base model and its adapters as a process of its own, for OpenAI's clients.

mod key;
mod socket;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::ValueEnum;
use crave_api::{Keys, ModelLimits, ModelServer};
use crave_lora::{AdapterStore, DType, Engine, EngineOptions, Limits, Model, Registry, RegistryOptions};
use crave_schemas::{Clock, SystemClock};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::{net::TcpListener, sync::watch};

pub(crate) use self::socket::{Changed, Client, Listed};
use super::up::signal;
use crate::home::Home;

/// Positions in a block of the key-value cache.
const BLOCK_TOKENS: usize = 16;
/// How often the keys file is looked at.
const KEYS_EVERY: Duration = Duration::from_secs(2);
/// Upper bounds of the histograms that are times, in seconds.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// The same of rows and tokens of a pass.
const COUNTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Flags of `serve-model`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model: a folder in Hugging Face's layout, such as `crave models pull` makes.
    #[arg(long)]
    model: PathBuf,
    /// The folder of adapters, which `crave adapters` keeps; made when absent.
    #[arg(long)]
    adapters: PathBuf,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// More keys than the operator's own, one JSON object a line: `key_sha256`, `tenant`, `owns` and `public` (names of
    /// adapters), `front` (its `user` field tells people apart). Read again when it changes.
    #[arg(long)]
    keys: Option<PathBuf>,
    /// The numbers that the model is held in.
    #[arg(long, value_enum, default_value_t = Numbers::F32)]
    dtype: Numbers,
    /// Other names of the base by which adapters may know it.
    #[arg(long = "base-name")]
    base_names: Vec<String>,
    /// Memory for adapters.
    #[arg(long, default_value = "1GiB")]
    adapter_memory: ByteSize,
    /// Tokens that all running requests together may have: the size of the key-value cache.
    #[arg(long, default_value_t = 16_384)]
    cache_tokens: usize,
    /// Tokens of an answer at most.
    #[arg(long, default_value_t = 1024)]
    answer_tokens_max: usize,
    /// Requests that run at once.
    #[arg(long, default_value_t = 32)]
    running_max: usize,
    /// Requests of one tenant that run at once.
    #[arg(long, default_value_t = 2)]
    running_tenant_max: usize,
    /// Requests that wait.
    #[arg(long, default_value_t = 256)]
    waiting_max: usize,
    /// Requests of one tenant that wait.
    #[arg(long, default_value_t = 16)]
    waiting_tenant_max: usize,
    /// Seconds that a request may wait for its turn.
    #[arg(long, default_value_t = 30)]
    wait_s_max: u64,
    /// Bytes of a request.
    #[arg(long, default_value = "1MiB")]
    body_max: ByteSize,
    /// Seconds that answers get to end once the process is asked to stop.
    #[arg(long, default_value_t = 30)]
    drain_s: u64,
}

/// Numbers of a model's weights in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Numbers {
    /// Fastest on a CPU.
    F32,
    /// Half the memory.
    Bf16,
}

impl From<Numbers> for DType {
    fn from(numbers: Numbers) -> Self {
        match numbers {
            Numbers::F32 => Self::F32,
            Numbers::Bf16 => Self::BF16,
        }
    }
}

pub(crate) async fn run(home: &Home, args: &Args) -> anyhow::Result<ExitCode> {
    // Before the model is loaded, which takes a while: a server nobody may use is not begun.
    let key = key::operators(home)?;
    let keys = watch::Sender::new(Arc::new(read_keys(&key, args.keys.as_deref())?));
    let metrics = metrics()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = AdapterStore::open(&args.adapters)?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("{}: cannot listen", args.listen))?;
    let engine = tokio::task::block_in_place(|| start(args, &store, &clock))?;
    let (stop, stopping) = watch::channel(false);
    let limits = ModelLimits {
        body_bytes_max: usize::try_from(args.body_max.as_u64()).unwrap_or(usize::MAX),
        answer_tokens_max: args.answer_tokens_max,
        open_requests_max: args.running_max + args.waiting_max,
    };
    let server = ModelServer::new(engine.clone(), keys.subscribe(), limits, clock, metrics, stopping.clone());
    let address = listener.local_addr()?;
    // Scripts wait for this line.
    println!("listening on http://{address}");
    let service = server.router().into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(async move {
        signal().await;
        tracing::info!("stopping: answers under way are finished");
        let _ = stop.send(true);
    });
    let forced = {
        let (mut stopping, drain) = (stopping, Duration::from_secs(args.drain_s));
        async move {
            if stopping.wait_for(|stopping| *stopping).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(drain).await;
        }
    };
    let socket = socket::Served::new(store, engine, args.base_names.clone());
    let operated = async {
        let ended = socket.listen(&args.adapters).await;
        // Without it adapters change at the next start only; the server itself lives on.
        tracing::warn!(cause = ?ended, "the adapters' socket");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = served => result.context("serving")?,
        () = forced => tracing::warn!("answers were cut off: they took longer than drain-s"),
        () = operated => {}
        () = follow_keys(&key, args.keys.as_deref(), &keys) => {}
    }
    socket::remove(&args.adapters);
    Ok(ExitCode::SUCCESS)
}

/// Loads the model, and the adapters that are to stay in memory.
fn start(args: &Args, store: &AdapterStore, clock: &Arc<dyn Clock>) -> anyhow::Result<Engine> {
    let model = Arc::new(Model::load(&args.model, args.dtype.into())?);
    let options =
        RegistryOptions { bytes_max: args.adapter_memory.as_u64(), base_names: args.base_names.clone() };
    let registry = Registry::new(Arc::clone(&model), args.adapters.clone(), options, Arc::clone(clock));
    for name in store.pins()? {
        // One adapter that is broken keeps nobody from the others.
        if let Err(error) = registry.pin(&name, true).and_then(|()| registry.load(&name)) {
            tracing::warn!(adapter = name, error = &error as &dyn std::error::Error, "a pinned adapter");
        }
    }
    let options = EngineOptions {
        limits: Limits {
            running_max: args.running_max,
            running_tenant_max: args.running_tenant_max,
            waiting_max: args.waiting_max,
            waiting_tenant_max: args.waiting_tenant_max,
            ..Limits::default()
        },
        cache_blocks: args.cache_tokens.div_ceil(BLOCK_TOKENS),
        block_tokens: BLOCK_TOKENS,
        queue_wait_max: Duration::from_secs(args.wait_s_max),
        answer_tokens_default: args.answer_tokens_max,
        ..EngineOptions::default()
    };
    Ok(Engine::start(model, registry, options, Arc::clone(clock))?)
}

fn metrics() -> anyhow::Result<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Prefix("crave_lora_batch".to_owned()), &COUNTS)?;
    builder.install_recorder().context("metrics")
}

fn read_keys(operator: &str, file: Option<&Path>) -> anyhow::Result<Keys> {
    let lines = match file {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("{}: the keys cannot be read", path.display()))?,
        None => String::new(),
    };
    Ok(Keys::new(operator, &lines)?)
}

/// Puts a changed keys file in the place of the old one; a broken one changes nothing. Never ends.
async fn follow_keys(operator: &str, file: Option<&Path>, keys: &watch::Sender<Arc<Keys>>) {
    let Some(path) = file else { return std::future::pending().await };
    let seen = |path: &Path| -> Option<(SystemTime, u64)> {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    let mut before = seen(path);
    loop {
        tokio::time::sleep(KEYS_EVERY).await;
        let now = seen(path);
        if now == before {
            continue;
        }
        before = now;
        match read_keys(operator, file) {
            Ok(new) => {
                tracing::info!("the keys were read again");
                keys.send_replace(Arc::new(new));
            }
            Err(error) => tracing::warn!(cause = %format!("{error:#}"), "the old keys stay"),
        }
    }
}
