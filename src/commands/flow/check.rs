//! `crave flow check`: what a job reads and writes, or what is wrong with it.

use std::process::ExitCode;

use crave_arroyo::{Level, portable};
use crave_flow::{Connectors, TableDef};
use serde_json::json;

use super::Job;

/// Flags of `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    job: Job,
    /// Also say what an Arroyo cluster would refuse or run otherwise; exit code 1 when it would.
    #[arg(long)]
    portable: bool,
}

pub(super) async fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let code = here(&args.job, json).await?;
    if !args.portable {
        return Ok(code);
    }
    let name = args.job.file().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let findings = portable(&name, &args.job.sql()?);
    for finding in &findings {
        if json {
            let level = if finding.level == Level::Stops { "stops" } else { "note" };
            println!(
                "{}",
                json!({ "line": finding.line, "column": finding.column, "rule": finding.rule, "level": level,
                        "reason": finding.reason, "instead": finding.instead })
            );
        } else {
            println!("{finding}");
        }
    }
    let stops = findings.iter().any(|finding| finding.level == Level::Stops);
    Ok(if stops { ExitCode::FAILURE } else { code })
}

/// What `flow` says of it.
async fn here(job: &Job, json: bool) -> anyhow::Result<ExitCode> {
    let program = job.sketch().await?;
    let built_in = Connectors::built_in();
    let connector = |table: &TableDef| -> anyhow::Result<(String, bool)> {
        Ok((table.connector()?.to_owned(), built_in.of(table).is_ok()))
    };
    let mut runs_here = true;
    let (mut sources, mut sinks) = (Vec::new(), Vec::new());
    for table in program.sources() {
        let (name, here) = connector(table)?;
        runs_here &= here;
        let event_time = table.watermark.as_ref().map(|w| w.column.clone());
        sources.push(json!({ "table": table.name, "connector": name, "event_time": event_time }));
    }
    for output in program.outputs() {
        let (name, here) = connector(&output.table)?;
        runs_here &= here;
        let keys: Vec<_> = output.keys.iter().map(|k| k.column.clone()).collect();
        let windows = output.windows.map(|windows| windows.to_string());
        sinks
            .push(json!({ "table": output.table.name, "connector": name, "windows": windows, "keys": keys }));
    }
    if json {
        let name = program.name();
        println!(
            "{}",
            json!({ "job": name, "ok": true, "sources": sources, "sinks": sinks, "runs_alone": runs_here })
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}: ok", job.file().display());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("").to_owned();
    for source in &sources {
        let time =
            source["event_time"].as_str().map_or("without event time".into(), |c| format!("event time {c}"));
        println!("  reads  {} ({}), {time}", text(&source["table"]), text(&source["connector"]));
    }
    for sink in &sinks {
        let windows = sink["windows"].as_str().unwrap_or("no windows");
        println!("  writes {} ({}), {windows}", text(&sink["table"]), text(&sink["connector"]));
    }
    if !runs_here {
        println!("  has tables that only `crave up` can open; `crave flow run` opens files");
    }
    Ok(ExitCode::SUCCESS)
}
