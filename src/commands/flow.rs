//! `crave flow`: one `.sql` file by itself, without a home: run to its end, checked, explained; and the jobs of a home,
//! deployed.

mod batch;
mod check;
pub(crate) mod deploy;
mod explain;
mod memory;
mod picture;
mod progress;
mod run;
pub(crate) mod top;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Subcommand;
use crave_flow::Program;

pub(crate) use run::Outcome;

/// What to do with streaming jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum Flow {
    #[command(flatten)]
    Alone(Alone),
    /// Put the jobs of this home in force, those of the folder `flow.jobs` among them, while its server runs.
    Deploy(deploy::Args),
    /// Show what the jobs of this home's server are doing: rows a second, backpressure, watermarks, late rows, state.
    Top(top::Args),
}

/// What is done with one file, without a home.
#[derive(Debug, Subcommand)]
pub(crate) enum Alone {
    /// Run a bounded job to its end; exit code 0 only when all of its rows are out.
    Run(run::Args),
    /// Parse and plan it: says what it reads and writes, or what is wrong and what to write instead.
    Check(check::Args),
    /// Show its plan, as text and as a picture.
    Explain(explain::Args),
}

/// A job's file and the values of its variables.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Job {
    /// The `.sql` file.
    file: PathBuf,
    /// A value for `$NAME` in the file; may be given many times.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = variable)]
    set: Vec<(String, String)>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let name = name.trim_start_matches('$');
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("'{name}' is no name: use letters, digits and _"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

impl Job {
    fn file(&self) -> &Path {
        &self.file
    }

    fn sql(&self) -> anyhow::Result<String> {
        std::fs::read_to_string(&self.file)
            .with_context(|| format!("{}: cannot be read", self.file.display()))
    }

    /// Plans it; its name, and with it the name of its state, is that of the file.
    async fn program(&self) -> anyhow::Result<Program> {
        self.planned(&self.sql()?, self.set.iter().cloned().collect()).await
    }

    /// Plans it to be looked at: a variable without a value stands for its own name.
    async fn sketch(&self) -> anyhow::Result<Program> {
        let sql = self.sql()?;
        let names = sql.match_indices('$').map(|(at, _)| {
            let rest = &sql[at + 1..];
            &rest[..rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())]
        });
        let mut variables: BTreeMap<_, _> =
            names.filter(|n| !n.is_empty()).map(|n| (n.to_owned(), n.to_owned())).collect();
        variables.extend(self.set.iter().cloned());
        self.planned(&sql, variables).await
    }

    async fn planned(&self, sql: &str, variables: BTreeMap<String, String>) -> anyhow::Result<Program> {
        let name = self.file.file_stem().map_or("job".into(), |stem| stem.to_string_lossy());
        Ok(Program::parse(&name, sql, &variables).await?)
    }
}

pub(crate) async fn alone(command: &Alone, json: bool) -> anyhow::Result<ExitCode> {
    match command {
        Alone::Run(args) => run::run(args, json).await,
        Alone::Check(args) => check::run(args, json).await,
        Alone::Explain(args) => explain::run(args, json).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_a_name_and_a_value() {
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(variable("input_dir=/tmp/a=b"), pair("input_dir", "/tmp/a=b"));
        assert_eq!(variable("$x="), pair("x", ""));
        for bad in ["x", "=1", "a-b=1", "$=2"] {
            assert!(variable(bad).is_err(), "{bad}");
        }
    }
}
