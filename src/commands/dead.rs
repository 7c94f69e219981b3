//! `crave dead`: what was refused after it was acknowledged, with the reason; and another try.

use std::{process::ExitCode, time::Duration};

use clap::Subcommand;
use crave_connect::{
    DeadLetter,
    log::{EventLog, Record, Topic, partition_of},
};

use crate::{config::Config, home::Home, node::Node};

/// Bytes read at once.
const READ_BYTES: usize = 4 << 20;

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
    let node = Node::start(home, &config.one_shot()).await?;
    match command {
        Dead::List { limit } => list(&*node.log, *limit, json).await?,
        Dead::Show { name } => println!("{}", serde_json::to_string_pretty(&find(&*node.log, name).await?)?),
        Dead::Retry { name } => {
            let letter = find(&*node.log, name).await?;
            let value = letter.bytes().ok_or_else(|| anyhow::anyhow!("{name}: its bytes were not kept"))?;
            let key = letter.user_id.unwrap_or_default();
            let partition = partition_of(&key, node.log.partitions());
            node.log.append(Topic::Inbox, vec![(partition, Record { key, value })]).await?;
            node.drain().await?;
            println!("sent again; `crave dead list` shows whether it was refused again");
        }
    }
    node.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn list(log: &dyn EventLog, limit: usize, json: bool) -> anyhow::Result<()> {
    let mut left = limit;
    for partition in 0..log.partitions() {
        let mut from = 0;
        while left > 0 {
            let read = log.read(Topic::Dead, partition, from, READ_BYTES, Duration::ZERO).await?;
            let Some(last) = read.last() else { break };
            from = last.offset + 1;
            for stored in read.iter().take(left) {
                let letter: DeadLetter = serde_json::from_slice(&stored.record.value)?;
                let name = format!("{partition}:{}", stored.offset);
                let (user, event) = (letter.user_id.unwrap_or_default(), letter.event_id.unwrap_or_default());
                if json {
                    let row = serde_json::json!({ "name": name, "at": letter.at, "user_id": user, "event_id": event, "refusal": letter.refusal });
                    println!("{row}");
                } else {
                    println!("{name}\t{}\t{user}\t{event}\t{}", letter.at, letter.refusal);
                }
            }
            left = left.saturating_sub(read.len());
        }
    }
    Ok(())
}

async fn find(log: &dyn EventLog, name: &str) -> anyhow::Result<DeadLetter> {
    let parts = name.split_once(':').and_then(|(p, o)| Some((p.parse().ok()?, o.parse().ok()?)));
    let (partition, offset) =
        parts.ok_or_else(|| anyhow::anyhow!("{name}: must be PARTITION:OFFSET, see `crave dead list`"))?;
    let read = log.read(Topic::Dead, partition, offset, 1, Duration::ZERO).await?;
    let stored = read.first().filter(|s| s.offset == offset);
    let stored = stored.ok_or_else(|| anyhow::anyhow!("{name}: no such dead letter"))?;
    Ok(serde_json::from_slice(&stored.record.value)?)
}
