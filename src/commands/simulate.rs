//! `crave simulate`: people with planted habits, through the log; the truth beside it. For load and demo: it
//! proves nothing about people.

use std::{fs, path::PathBuf, process::ExitCode};

use crave_connect::simulate::{Options, events};
use crave_schemas::{Clock as _, SystemClock};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::json;

use crate::{
    config::Config,
    home::Home,
    node::{BATCH_EVENTS, Fate},
    operator::Operator,
};

/// Flags of `simulate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many people.
    #[arg(long, default_value_t = 6)]
    users: u32,
    /// How many days each, ending now.
    #[arg(long, default_value_t = 90)]
    days: u32,
    /// Equal seeds give equal people.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to write the truth; `simulate-truth.json` in the home when absent.
    #[arg(long)]
    truth: Option<PathBuf>,
}

pub(crate) async fn run(home: &Home, config: &Config, args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let operator = Operator::open(home, config).await?;
    let options = Options { users: args.users, days: args.days, seed: args.seed, end: SystemClock.now() };
    let mut sent = events(options);
    let bar = ProgressBar::with_draw_target(Some(args.users.into()), ProgressDrawTarget::stderr());
    let (mut accepted, mut duplicate, mut refused) = (0_u64, 0_u64, 0_u64);
    loop {
        let batch: Vec<_> = sent.by_ref().take(BATCH_EVENTS).map(|s| s.event).collect();
        if batch.is_empty() {
            break;
        }
        for fate in operator.feed(batch).await? {
            match fate {
                Fate::Accepted => accepted += 1,
                Fate::Duplicate => duplicate += 1,
                Fate::Refused(_) => refused += 1,
            }
        }
        bar.set_position(sent.truth().users.len() as u64);
    }
    bar.set_message("computing tables");
    operator.drain().await?;
    bar.finish_and_clear();
    operator.close().await;
    let truth = args.truth.clone().unwrap_or_else(|| home.path().join("simulate-truth.json"));
    fs::write(&truth, serde_json::to_vec_pretty(sent.truth())?)?;
    if json {
        println!(
            "{}",
            json!({ "accepted": accepted, "duplicate": duplicate, "refused": refused, "truth": truth })
        );
    } else {
        println!(
            "{accepted} accepted, {duplicate} duplicate, {refused} refused; truth in {}",
            truth.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}
