//! `crave token`: who may call the API.

use std::process::ExitCode;

use clap::Subcommand;
use crave_api::Accounts;
use crave_schemas::{Clock as _, DeviceId, SystemClock, UserId};
use serde_json::json;

use crate::home::Home;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token for a user's device and print it: it is shown this once.
    Add {
        /// User.
        #[arg(long)]
        user: String,
        /// Device.
        #[arg(long)]
        device: Option<String>,
    },
    /// End all tokens of a user.
    Revoke {
        /// User.
        #[arg(long)]
        user: String,
    },
}

pub(crate) async fn run(home: &Home, command: &Token, json: bool) -> anyhow::Result<ExitCode> {
    let accounts = Accounts::open(&home.accounts()).await?;
    let now = SystemClock.now();
    match command {
        Token::Add { user, device } => {
            let user = UserId::new(user.as_str())?;
            let device = device.as_deref().map(DeviceId::new).transpose()?;
            let token = accounts.add_token(&user, device.as_ref(), now).await?;
            if json {
                println!("{}", json!({ "user_id": user, "token": token }));
            } else {
                println!("{token}");
            }
        }
        Token::Revoke { user } => {
            let revoked = accounts.revoke(&UserId::new(user.as_str())?, now).await?;
            if json {
                println!("{}", json!({ "revoked": revoked }));
            } else {
                println!("{revoked} tokens revoked");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
