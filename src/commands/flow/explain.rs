//! `crave flow explain`: the plan as text, and as a picture.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use crave_flow::PlanNode;
use serde_json::json;

use super::{Job, picture};

/// Flags of `flow explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    job: Job,
    /// Also draw it into this file (SVG; any browser shows it).
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let program = args.job.sketch().await?;
    if let Some(path) = &args.svg {
        std::fs::write(path, picture::svg(program.name(), program.plan_trees()))
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    if json {
        let plans: Vec<_> = program.plan_trees().iter().map(object).collect();
        println!("{}", json!({ "job": program.name(), "plans": plans }));
    } else {
        for tree in program.plan_trees() {
            print!("{tree}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn object(node: &PlanNode) -> serde_json::Value {
    let inputs: Vec<_> = node.inputs.iter().map(object).collect();
    json!({ "step": node.title, "detail": node.detail, "inputs": inputs })
}
