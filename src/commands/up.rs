//! `crave up`: all parts in one process, or some, until a signal.

use std::{io::Write as _, net::SocketAddr, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use crave_api::{Accounts, App, Faces, RateLimit, router};
use crave_insight::{
    Chats, Citations, Conversations, Insights, Memories,
    documents::{Documents, program::PdfProgram},
};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};

use crate::{
    config::Config,
    erase,
    home::Home,
    node::{Node, Part, open_memories},
    operator::listen as operator,
};

/// Flags of `up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on; overrides `server.listen`. Port 0 takes a free one.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Run these parts only, such as `ingest,flow`; all when absent. With a local log the others wait: what comes in is
    /// durable in the inbox until `flow` runs. Over a log in Kafka, other processes run them (section `shared` of the
    /// configuration).
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    only: Vec<Part>,
    /// Where to listen after a restart of its own.
    #[arg(long, hide = true, env = erase::AGAIN)]
    again: Option<SocketAddr>,
}

/// Why it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// A signal.
    Asked,
    /// An erasure needs the home at rest.
    Erasure,
}

pub(crate) async fn run(home: &Home, config: &Config, args: &Args) -> anyhow::Result<ExitCode> {
    let backend = config.model.backend()?;
    let metrics = PrometheusBuilder::new().install_recorder().context("metrics")?;
    let erasures = erase::open(home, config, &args.only).await?;
    let mut failed = false;
    if erasures.is_some()
        && let Err(error) = Box::pin(erase::run_pending(home, config)).await
    {
        failed = true;
        tracing::error!(cause = ?error, "an erasure was not done; it is tried again later");
    }
    let accounts = Accounts::open(&home.accounts()).await?;
    let mut node = Node::start(home, config, &args.only).await?;
    let serve = args.only.contains(&Part::Serve);
    // Without its memories the platform still takes in, computes and answers: only notes are not found.
    let recall = match serve {
        true => open_memories(home, &config.recall, &accounts)
            .await
            .inspect_err(|error| tracing::error!(cause = ?error, "answers go without notes"))
            .ok(),
        false => None,
    };
    let documents = match serve {
        true => Some(open_documents(home).await.context("opening the documents")?),
        false => None,
    };
    let citations = Citations::open(&home.insights()).await?;
    let conversations = Conversations::open(&home.conversations()).await?;
    let memories = Arc::new(Memories::new(recall.clone(), conversations, citations.clone()));
    if let Some(recall) = &recall {
        // First what was deleted and corrected, then what the log says.
        memories.restore().await.context("deleting what was deleted, in the memories")?;
        node.remember(home, recall, &memories)?;
        if let Some(documents) = &documents {
            node.index_documents(home, recall, documents);
        }
    }
    let insights = Insights::new(
        Arc::clone(&node.lake),
        Arc::clone(&node.tables),
        recall,
        citations,
        Arc::clone(&node.clock),
    );
    let insights = Arc::new(match backend {
        Some(backend) => insights.spoken_by(backend),
        None => insights,
    });
    for persona in crave_api::personas()? {
        insights.check_persona(&persona).context("model.context is too small")?;
    }
    let (log, clock) = (Arc::clone(&node.log), Arc::clone(&node.clock));
    let chats = Chats::new(Arc::clone(&insights), Arc::clone(&memories), log, clock);
    let limits = config.limits.api();
    let app = App {
        log: Arc::clone(&node.log),
        tables: Arc::clone(&node.tables),
        observer: Arc::clone(&node.observer),
        lake: Arc::clone(&node.lake),
        insights,
        chats: Arc::new(chats),
        documents,
        accounts,
        erasures: erasures.clone(),
        clock: Arc::clone(&node.clock),
        limits,
        rate: Arc::new(RateLimit::default()),
        feeds: Arc::new(Semaphore::new(limits.feeds_max)),
        faces: Faces { ingest: args.only.contains(&Part::Ingest), serve },
        health: node.health.subscribe(),
        metrics,
    };
    let listen = args.again.or(args.listen).unwrap_or(config.server.listen);
    let listener = TcpListener::bind(listen).await.with_context(|| format!("{listen}: cannot listen"))?;
    let address = listener.local_addr()?;
    // Scripts wait for this line; after a restart of its own nobody may read any more.
    let _ = writeln!(std::io::stdout(), "listening on http://{address}");
    let (ending, ended) = watch::channel(None);
    let ended = || {
        let mut ended = ended.clone();
        async move {
            let _ = ended.wait_for(Option::is_some).await;
        }
    };
    let clock = Arc::clone(&node.clock);
    let decided = async {
        let why = tokio::select! {
            () = signal() => Ending::Asked,
            () = erase::due(erasures.as_ref(), clock.as_ref(), failed) => Ending::Erasure,
        };
        ending.send_replace(Some(why));
        std::future::pending::<()>().await;
    };
    let served = axum::serve(listener, router(app)).with_graceful_shutdown(ended());
    let forced = async {
        ended().await;
        // Open feeds never end by themselves.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    };
    let operated = async {
        let ended = operator(home, Arc::clone(node.core()), Arc::clone(&memories), erasures.clone()).await;
        // Without it commands find no server; the server itself lives on.
        tracing::warn!(cause = ?ended, "the operator's socket");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = served => result.context("serving")?,
        () = forced => {}
        () = operated => {}
        () = decided => {}
    }
    let why = *ending.borrow();
    let _ = std::fs::remove_file(home.socket());
    tracing::info!("stopping");
    node.stop().await;
    match why {
        Some(Ending::Erasure) => Err(erase::again(address)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// PDFs are read by this program, once more.
async fn open_documents(home: &Home) -> anyhow::Result<Documents> {
    let pdf = PdfProgram::new(std::env::current_exe()?, vec!["extract-pdf".to_owned()]);
    Ok(Documents::open(&home.documents()?, pdf).await?)
}

/// Ends when the process is asked to: Ctrl-C, or SIGTERM.
pub(super) async fn signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
