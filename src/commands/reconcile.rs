//! `crave reconcile`: waits for everything sent so far and recomputes what is dirty now, instead of when repair comes to it.

use std::process::ExitCode;

use crate::{config::Config, home::Home, operator::Operator};

pub(crate) async fn run(home: &Home, config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let operator = Operator::open(home, config).await?;
    let repaired = operator.drain().await?;
    operator.close().await;
    if json {
        println!("{}", serde_json::to_string(&repaired)?);
    } else {
        println!("{} windows recomputed, {} corrections applied", repaired.windows, repaired.corrections);
    }
    Ok(ExitCode::SUCCESS)
}
