//! Runs the streaming jobs and starts them again when they fail: what is acknowledged waits in the log.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crave_api::Health;
use crave_connect::{LogConnector, log::EventLog};
use crave_flow::{
    CheckpointStore, Connectors, EpochObserver, JobStart, Pipeline, PipelineHandle, PipelineOptions,
    PipelineView, Program,
};
use crave_tables::{DeltaConnector, Observer, Repair};
use tokio::sync::{mpsc, oneshot, watch};

use super::jobs;
use crate::{config::Config, home::Home};

/// Pause before the jobs that have failed start again, and the longest while they go on failing.
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(30);

pub(super) struct Streams {
    home: Home,
    jobs: Option<PathBuf>,
    connectors: Connectors,
    observer: Arc<Observer>,
    repair: Arc<Repair>,
    options: PipelineOptions,
    /// To look at the jobs that run.
    view: watch::Sender<Option<PipelineView>>,
}

/// Asks for a restart of the jobs with the SQL that is there now; answered when they run.
pub(super) type Deploy = oneshot::Sender<anyhow::Result<()>>;

impl Streams {
    pub(super) fn new(
        home: &Home,
        config: &Config,
        log: Arc<dyn EventLog>,
        delta: DeltaConnector,
        observer: Arc<Observer>,
        repair: Arc<Repair>,
    ) -> Self {
        let connectors =
            Connectors::new().with("log", Arc::new(LogConnector(log))).with("delta", Arc::new(delta));
        let options = PipelineOptions {
            parallelism: config.flow.parallelism,
            checkpoint_interval: Some(config.flow.checkpoint_interval),
            ..PipelineOptions::default()
        };
        Self {
            home: home.clone(),
            jobs: config.flow.jobs().map(Path::to_owned),
            connectors,
            observer,
            repair,
            options,
            view: watch::Sender::default(),
        }
    }

    /// The jobs that run, or ran last.
    pub(super) fn view(&self) -> watch::Receiver<Option<PipelineView>> {
        self.view.subscribe()
    }

    /// Starts all jobs from the newest checkpoint.
    pub(super) async fn start(&self) -> anyhow::Result<PipelineHandle> {
        self.start_with(jobs::parse(&self.home, self.jobs.as_deref()).await?).await
    }

    async fn start_with(&self, programs: Vec<Arc<Program>>) -> anyhow::Result<PipelineHandle> {
        let store = CheckpointStore::local(self.home.checkpoints())?;
        let observer = Arc::clone(&self.observer) as Arc<dyn EpochObserver>;
        let handle = Box::pin(Pipeline::start(
            programs.clone(),
            &self.connectors,
            store,
            Some(observer),
            self.options.clone(),
        ))
        .await?;
        self.repair.set_programs(&programs)?;
        self.view.send_replace(Some(handle.view()));
        for job in handle.status().jobs {
            match job.start {
                JobStart::Resumed { epoch } => tracing::info!(job = job.job, epoch, "job resumed"),
                JobStart::Fresh { changed } => tracing::info!(job = job.job, changed, "job starts fresh"),
            }
        }
        Ok(handle)
    }

    /// Keeps the jobs running until `stop` turns true, then ends them at a checkpoint.
    pub(super) async fn supervise(
        self,
        first: PipelineHandle,
        health: Arc<watch::Sender<Health>>,
        mut deploys: mpsc::Receiver<Deploy>,
        mut stop: watch::Receiver<bool>,
    ) {
        let (mut handle, mut pause) = (first, RETRY_MIN);
        loop {
            let began_at = handle.status().epoch;
            let asked = async {
                let _ = stop.wait_for(|stop| *stop).await;
            };
            let failed = tokio::select! {
                ended = handle.join() => ended,
                Some(deploy) = deploys.recv() => {
                    // Parsed before the running ones are stopped: what is wrong is told and changes nothing.
                    let programs = match jobs::parse(&self.home, self.jobs.as_deref()).await {
                        Ok(programs) => programs,
                        Err(error) => {
                            let _ = deploy.send(Err(error));
                            continue;
                        }
                    };
                    let _ = end(&handle).await;
                    match self.start_with(programs).await {
                        Ok(started) => {
                            handle = started;
                            let _ = deploy.send(Ok(()));
                            continue;
                        }
                        Err(error) => {
                            let text = format!("{error:#}");
                            let _ = deploy.send(Err(error.context("the jobs cannot start; they are tried again")));
                            Err(crave_flow::Error::Invalid(text))
                        }
                    }
                }
                () = asked => {
                    if !end(&handle).await {
                        let reason = "the streaming jobs ended without a last checkpoint";
                        health.send_modify(|health| {
                            health.set("flow", Some(reason.into()));
                        });
                    }
                    return;
                }
            };
            if let Err(error) = failed {
                tracing::error!(%error, cause = ?error, "the streaming jobs failed");
            }
            if handle.status().epoch > began_at {
                pause = RETRY_MIN;
            }
            let reason = "the streaming jobs failed and start again; see the log";
            health.send_if_modified(|health| health.set("flow", Some(reason.into())));
            handle = loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
                if *stop.borrow() {
                    return;
                }
                match self.start().await {
                    Ok(handle) => break handle,
                    Err(error) => tracing::error!(cause = ?error, "the streaming jobs cannot start"),
                }
            };
            health.send_if_modified(|health| health.set("flow", None));
        }
    }
}

/// Stops the jobs at a last checkpoint; without one (`false`) they go on from the one before.
async fn end(handle: &PipelineHandle) -> bool {
    let ended = handle.stop_at_checkpoint().await;
    if let Err(error) = &ended {
        tracing::warn!(%error, "the streaming jobs ended without a last checkpoint");
    }
    ended.is_ok()
}
