//! `crave erase --user U --yes`: leaves nothing of a person, and prints the receipt. Where a server runs, it stops its
//! parts for that and begins again.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use crave_api::{Accounts, Erasures};
use crave_schemas::{Clock as _, SystemClock, UserId};

use crate::{
    config::Config,
    erase::{possible, run_pending},
    home::Home,
    operator::Operator,
};

/// Between two looks whether the server has done it.
const LOOK: Duration = Duration::from_millis(200);
/// Longest wait for a server.
const WAIT_MAX: Duration = Duration::from_secs(2 * 3_600);

/// Flags of `erase`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose data: events, tables, memories, documents, conversations, answers, tokens, profile.
    #[arg(long)]
    user: String,
    /// Do it: it cannot be undone.
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(home: &Home, config: &Config, args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let user = UserId::new(args.user.as_str())?;
    possible(home, config)?;
    if !args.yes {
        eprintln!("crave: this removes everything of {user}, for good; add --yes");
        return Ok(ExitCode::from(2));
    }
    let server = Operator::of_server(home).await?;
    let now = SystemClock.now();
    Accounts::open(&home.accounts()).await?.revoke(&user, now).await?;
    let erasures = Erasures::open(&home.erasures()).await?;
    let id = erasures.request(&user, now).await?;
    match server {
        Some(server) => {
            server.erase().await?;
            let done = async {
                while erasures.get(id).await?.is_none_or(|erasure| erasure.done_at.is_none()) {
                    tokio::time::sleep(LOOK).await;
                }
                anyhow::Ok(())
            };
            let waited = tokio::time::timeout(WAIT_MAX, done).await;
            waited.with_context(|| {
                format!("the server has not erased yet; it goes on, and GET /v1/erasures/{id} tells when it is done")
            })??;
        }
        None => Box::pin(run_pending(home, config)).await?,
    }
    let erasure = erasures.get(id).await?.context("the erasure is not noted; please report this")?;
    if json {
        println!("{}", serde_json::to_string(&erasure)?);
    } else {
        println!("{}", serde_json::to_string_pretty(&erasure)?);
    }
    Ok(ExitCode::SUCCESS)
}
