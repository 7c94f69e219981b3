//! `crave sql "…"`: a table in the terminal, or an object a row. Reads the tables' files, so it works beside a running
//! server too; what is in the memory of that server's jobs (`live.*`) is asked of it.

use std::{io::Write as _, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use crave_flow::CheckpointStore;
use crave_lake::{Answer, Engine, Lake, Scope, reads_live, to_ndjson, to_text};
use crave_schemas::UserId;
use crave_tables::Tables;

use crate::{config::Config, home::Home, operator::Operator};

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
    let user = args.user.as_deref().map(UserId::new).transpose()?;
    let scope = user.map_or(Scope::Operator, Scope::User);
    let answer = if reads_live(&args.query) {
        let server = Operator::of_server(home).await?;
        let none = "the tables live.* are in the memory of running jobs, and no server runs on this home; start it with `crave up`";
        server.context(none)?.query(&scope, &args.query).await?
    } else {
        from_files(home, config, &scope, &args.query).await?
    };
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

async fn from_files(home: &Home, config: &Config, scope: &Scope, query: &str) -> anyhow::Result<Answer> {
    let tables = Arc::new(Tables::new(&home.lake()));
    tables.refresh().await?;
    let engine = Engine { jobs: None, checkpoints: Some(CheckpointStore::local(home.checkpoints())?) };
    Ok(Lake::beside(tables, config.sql.bounds(), engine)?.query(scope, query, &[]).await?)
}
