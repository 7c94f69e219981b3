//! `crave dead`: what was refused after it was acknowledged, with the reason; and another try.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use crate::{config::Config, home::Home, node, operator::Operator};

/// What to do with dead letters; each is named `PARTITION:OFFSET`.
#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// List them, oldest first: name, time, user, event, reason.
    List {
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show one with the bytes as they came: personal data.
    Show {
        /// `PARTITION:OFFSET`.
        name: String,
    },
    /// Send one to the inbox again, as it came.
    Retry {
        /// `PARTITION:OFFSET`.
        name: String,
    },
}

pub(crate) async fn run(
    home: &Home,
    config: &Config,
    command: &Dead,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let operator = Operator::open(home, config).await?;
    match command {
        Dead::List { limit } => {
            for dead in operator.dead(*limit).await? {
                print(dead, json);
            }
        }
        Dead::Show { name } => {
            println!("{}", serde_json::to_string_pretty(&operator.dead_letter(name).await?)?);
        }
        Dead::Retry { name } => {
            operator.retry(name).await?;
            println!("sent again; `crave dead list` shows whether it was refused again");
        }
    }
    operator.close().await;
    Ok(ExitCode::SUCCESS)
}

fn print(node::Dead { name, letter }: node::Dead, as_json: bool) {
    let (user, event) = (letter.user_id.unwrap_or_default(), letter.event_id.unwrap_or_default());
    if as_json {
        let row = json!({ "name": name, "at": letter.at, "user_id": user, "event_id": event, "refusal": letter.refusal });
        println!("{row}");
    } else {
        println!("{name}\t{}\t{user}\t{event}\t{}", letter.at, letter.refusal);
    }
}
