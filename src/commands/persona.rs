//! `crave persona --user U`: who a person is as a craver. Reads the tables' files, so it works beside a running server
//! too.

use std::{process::ExitCode, sync::Arc};

use crave_api::Accounts;
use crave_lake::Lake;
use crave_persona::{Evidence, archetypes, corrected, read};
use crave_schemas::{Clock as _, SystemClock, UserId};
use crave_tables::Tables;

use crate::{config::Config, home::Home};

/// Flags of `persona`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// User.
    #[arg(long)]
    user: String,
}

pub(crate) async fn run(home: &Home, config: &Config, args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let user = UserId::new(args.user.as_str())?;
    let tables = Arc::new(Tables::new(&home.lake()));
    tables.refresh().await?;
    let lake = Lake::new(tables, config.sql.bounds())?;
    let persona = Box::pin(read(&lake, &user, SystemClock.now())).await?;
    let persona = match Accounts::open(&home.accounts()).await?.persona_correction(&user).await? {
        Some(correction) => corrected(persona, &archetypes()?, &correction),
        None => persona,
    };
    if json {
        println!("{}", serde_json::to_string(&persona)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}: {}", persona.name, persona.definition);
    match &persona.evidence {
        Evidence::Signs(signs) => {
            for seen in signs {
                println!("  {}: {} of {} ({:.2})", seen.sign, seen.with_sign, seen.n, seen.confidence);
            }
        }
        Evidence::Unknown(why) => {
            println!("  by the data: unknown ({})", serde_json::to_string(why)?.trim_matches('"'));
        }
    }
    for month in &persona.by_month {
        println!("  {}: {} cravings, {}", month.month, month.n, month.archetype);
    }
    Ok(ExitCode::SUCCESS)
}
