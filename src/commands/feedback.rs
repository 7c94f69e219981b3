//! `crave feedback export`: what people think of answers and of their persona, to train on, one JSON object a line.
//!
//! Only of people who allow it (`PUT /v1/consent`), as they allow it at this moment. Instead of their id stands a number
//! that is another one in each export.

use std::process::ExitCode;

use clap::Subcommand;
use crave_api::Accounts;
use crave_insight::Citations;
use serde_json::json;

use crate::home::Home;

/// What to do with it.
#[derive(Debug, Subcommand)]
pub(crate) enum Feedback {
    /// Print it.
    Export,
}

pub(crate) async fn run(home: &Home, command: &Feedback) -> anyhow::Result<ExitCode> {
    match command {
        Feedback::Export => export(home).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(home: &Home) -> anyhow::Result<()> {
    let accounts = Accounts::open(&home.accounts()).await?;
    let answers = Citations::open(&home.insights()).await?;
    for (person, user) in accounts.training_allowed().await?.iter().enumerate() {
        for example in answers.examples(user).await? {
            println!("{}", json!({ "kind": "answer", "person": person, "example": example }));
        }
        for example in accounts.persona_examples(user).await? {
            println!("{}", json!({ "kind": "persona", "person": person, "example": example }));
        }
    }
    Ok(())
}
