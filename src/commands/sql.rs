//! `crave sql "…"`: a table in the terminal, or an object a row. Reads the tables' files, so it works beside a
//! running server too.

use std::{io::Write as _, process::ExitCode, sync::Arc};

use crave_lake::{Lake, Scope, to_ndjson, to_text};
use crave_schemas::UserId;
use crave_tables::Tables;

use crate::{config::Config, home::Home};

/// Flags of `sql`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A query; `SHOW TABLES` lists what there is.
    query: String,
    /// See only this user's rows, as the API would.
    #[arg(long)]
    user: Option<String>,
}

pub(crate) async fn run(home: &Home, config: &Config, args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let tables = Arc::new(Tables::new(&home.lake()));
    tables.refresh().await?;
    let lake = Lake::new(tables, config.sql.bounds())?;
    let scope = match &args.user {
        Some(user) => Scope::User(UserId::new(user.as_str())?),
        None => Scope::Operator,
    };
    let answer = lake.query(&scope, &args.query, &[]).await?;
    let mut out = std::io::stdout().lock();
    if json {
        out.write_all(&to_ndjson(&answer.batches)?)?;
    } else {
        writeln!(out, "{}", to_text(&answer.batches)?)?;
    }
    if answer.cut {
        eprintln!("crave: only the first {} rows are shown; set sql.rows_max", config.sql.rows_max);
    }
    Ok(ExitCode::SUCCESS)
}
