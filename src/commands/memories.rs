//! `crave memories`: what is remembered of a person, for them to see, correct, delete and take along.

use std::process::ExitCode;

use clap::Subcommand;
use crave_insight::Item;
use crave_recall::MemoryId;
use crave_schemas::UserId;

use crate::{config::Config, home::Home, operator::Operator};

/// Flags of `memories`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose memories.
    #[arg(long)]
    user: String,
    #[command(subcommand)]
    what: What,
}

/// What to do with them; each is named by its id.
#[derive(Debug, Subcommand)]
enum What {
    /// List them: id, time, kind, text.
    List,
    /// Show one with where it came from.
    Show {
        /// Its id.
        id: String,
    },
    /// Correct the text of one.
    Edit {
        /// Its id.
        id: String,
        /// What it should say.
        text: String,
    },
    /// Delete one for good, with all that was made from it.
    Delete {
        /// Its id.
        id: String,
    },
    /// Print all of them, one JSON object a line.
    Export,
}

pub(crate) async fn run(home: &Home, config: &Config, args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let user = UserId::new(args.user.as_str())?;
    let operator = Operator::with_memories(home, config).await?;
    let done = act(&operator, &user, &args.what, json).await;
    operator.close().await;
    done?;
    Ok(ExitCode::SUCCESS)
}

async fn act(operator: &Operator, user: &UserId, what: &What, json: bool) -> anyhow::Result<()> {
    match what {
        What::List => {
            for item in operator.memories(user).await? {
                if json {
                    println!("{}", serde_json::to_string(&item)?);
                } else {
                    println!("{}", line(&item));
                }
            }
        }
        What::Export => {
            for item in operator.memories(user).await? {
                println!("{}", serde_json::to_string(&item)?);
            }
        }
        What::Show { id } => {
            println!("{}", serde_json::to_string_pretty(&operator.memory(user, read(id)?).await?)?);
        }
        What::Edit { id, text } => {
            println!("{}", serde_json::to_string_pretty(&operator.correct(user, read(id)?, text).await?)?);
        }
        What::Delete { id } => {
            operator.forget(user, read(id)?).await?;
            println!("deleted, with all that was made from it");
        }
    }
    Ok(())
}

/// An id as it is listed.
fn read(id: &str) -> anyhow::Result<MemoryId> {
    serde_json::from_value(id.into())
        .map_err(|_| anyhow::anyhow!("{id} is no id of a memory; `crave memories --user U list` shows them"))
}

fn line(item: &Item) -> String {
    let text = item.text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}\t{}\t{}\t{text}", item.id, item.at.format("%Y-%m-%d %H:%M"), item.kind)
}
