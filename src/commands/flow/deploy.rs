//! `crave flow deploy`: what a change of the jobs does to their state, and doing it.

use std::process::ExitCode;

use crate::{
    config::Config,
    home::Home,
    node::{Planned, State, plan},
    operator::Operator,
};

/// Flags of `deploy`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Say what would be kept, rebuilt, new and dropped, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(home: &Home, config: &Config, args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let planned = match (Operator::of_server(home).await?, args.dry_run) {
        (Some(server), true) => server.plan().await?,
        (Some(server), false) => server.deploy().await?,
        (None, true) => plan(home, config.flow.jobs()).await?,
        (None, false) => {
            let planned = plan(home, config.flow.jobs()).await?;
            // A start puts them in force; draining waits until every table is switched.
            let operator = Operator::open(home, config).await?;
            operator.drain().await?;
            operator.close().await;
            planned
        }
    };
    for Planned { job, state } in planned {
        if json {
            println!("{}", serde_json::json!({ "job": job, "state": state }));
            continue;
        }
        let told = match state {
            State::Kept => "kept",
            State::Rebuilt => "rebuilt: its tables are built anew beside the old ones, then switched",
            State::New => "new: reads the whole log",
            State::Dropped => "dropped: its state goes, its tables stay as they are",
        };
        println!("{job:<16} {told}");
    }
    Ok(ExitCode::SUCCESS)
}
