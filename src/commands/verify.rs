//! `crave verify`: drains, then compares every table with its SQL in batch.

use std::process::ExitCode;

use crate::{config::Config, home::Home, operator::Operator};

pub(crate) async fn run(home: &Home, config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let operator = Operator::open(home, config).await?;
    let verdicts = operator.verify().await?;
    operator.close().await;
    for verdict in &verdicts {
        if json {
            println!("{}", serde_json::to_string(verdict)?);
        } else {
            let mark = if verdict.holds() { "ok  " } else { "FAIL" };
            println!(
                "{mark} {:<14} {:>9} rows, {} differing, {} missing, {} extra",
                verdict.table, verdict.rows, verdict.differing, verdict.missing, verdict.extra
            );
        }
    }
    Ok(if verdicts.iter().all(crave_tables::Verdict::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
