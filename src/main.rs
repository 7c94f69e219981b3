//! The command line: a contract that scripts rely on. Exit codes: 0 done, 1 failed, 2 misused.

mod commands;
mod config;
mod erase;
mod home;
mod node;
mod operator;
mod socket;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{commands::flow::Flow, config::Config, home::Home};

/// Events and Arrow batches are many small and short-lived allocations, freed by another thread than made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Crave Wave: streaming craving intelligence on one machine.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    /// Data folder.
    #[arg(long, global = true, default_value = "crave-home", env = "CRAVE_HOME")]
    home: PathBuf,
    /// Configuration file; `crave.toml` in this folder when absent.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Print results as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run all parts: ingest, streaming jobs, tables, API.
    Up(commands::up::Args),
    /// Import what another program exported.
    Import(commands::import::Args),
    /// Send what simulated people with planted habits would send; for load and demo only.
    Simulate(commands::simulate::Args),
    /// Find what a person remembers that fits a question.
    Search(commands::search::Args),
    /// What is remembered of a person: list, correct, delete, export.
    Memories(commands::memories::Args),
    /// Answer a read-only SQL query over the tables.
    Sql(commands::sql::Args),
    /// Say for each line of standard input what craving, trigger, company, place and emotions it tells of.
    Emotion,
    /// Who a person is as a craver, with the evidence, or "unknown".
    Persona(commands::persona::Args),
    /// One streaming job by itself, over files, without a home.
    #[command(subcommand)]
    Flow(Flow),
    /// Prove that every table equals its SQL in batch; exit code 1 when one does not.
    Verify,
    /// Recompute now what late rows and corrections made dirty.
    Reconcile,
    /// Bearer tokens of devices.
    #[command(subcommand)]
    Token(commands::token::Token),
    /// Events that were refused after they were acknowledged.
    #[command(subcommand)]
    Dead(commands::dead::Dead),
    /// What people think of answers and of their persona, of those who allow it, to train on.
    #[command(subcommand)]
    Feedback(commands::feedback::Feedback),
    /// Leave nothing of a person, and say where it was looked.
    Erase(commands::erase::Args),
    /// Copy the whole home, at one epoch; the server must be stopped.
    Backup(commands::backup::Backup),
    /// Put a backup into an empty home.
    Restore(commands::backup::Restore),
    /// Measure this machine.
    #[command(subcommand)]
    Bench(commands::bench::Bench),
    /// Models: the one that finds memories by meaning, and language models of a hub.
    #[command(subcommand)]
    Models(commands::models::Models),
    /// Serve a base model and its adapters to OpenAI's clients, as a process of its own.
    ServeModel(commands::serve_model::Args),
    /// LoRA adapters: add, list, pin, remove, also while they are served.
    Adapters(commands::adapters::Args),
    /// Run the streaming jobs on an Arroyo cluster: check, publish, deploy, watch, stop.
    Deploy(commands::deploy::Args),
    /// Check this machine and home.
    Doctor,
    /// The text of a PDF, from standard input; the server calls it.
    #[command(hide = true)]
    ExtractPdf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A job run in the foreground says its failure itself, once.
    let level = match cli.command {
        Command::Flow(_) => "error,crave_flow::pipeline=off",
        _ => "warn,qdrant_edge=error,crave=info",
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("CRAVE_LOG").unwrap_or_else(|_| level.into()),
        )
        .with_writer(std::io::stderr)
        .json()
        .flatten_event(true)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("crave: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(Box::pin(run(cli))) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("crave: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        // These make no home and read no configuration.
        Command::Flow(Flow::Alone(command)) => return commands::flow::alone(command, cli.json).await,
        Command::Bench(commands::bench::Bench::Flow(args)) => {
            return commands::bench::flow::run(args, cli.json);
        }
        Command::Adapters(args) => return commands::adapters::run(args, cli.json).await,
        Command::ExtractPdf => return commands::extract::run(),
        _ => {}
    }
    let config = Config::load(cli.config.as_deref())?;
    let home = Home::open(&cli.home, &config.shared)?;
    match cli.command {
        Command::Up(args) => commands::up::run(&home, &config, &args).await,
        Command::Import(args) => commands::import::run(&home, &config, &args, cli.json).await,
        Command::Simulate(args) => commands::simulate::run(&home, &config, &args, cli.json).await,
        Command::Search(args) => commands::search::run(&home, &config, &args, cli.json).await,
        Command::Memories(args) => commands::memories::run(&home, &config, &args, cli.json).await,
        Command::Sql(args) => commands::sql::run(&home, &config, &args, cli.json).await,
        Command::Emotion => commands::emotion::run(&home, cli.json).await,
        Command::Persona(args) => commands::persona::run(&home, &config, &args, cli.json).await,
        Command::Verify => commands::verify::run(&home, &config, cli.json).await,
        Command::Reconcile => commands::reconcile::run(&home, &config, cli.json).await,
        Command::Token(token) => commands::token::run(&home, &token, cli.json).await,
        Command::Dead(dead) => commands::dead::run(&home, &config, &dead, cli.json).await,
        Command::Feedback(feedback) => commands::feedback::run(&home, &feedback).await,
        Command::Erase(args) => Box::pin(commands::erase::run(&home, &config, &args, cli.json)).await,
        Command::Backup(args) => commands::backup::backup(&home, &config, &args, cli.json),
        Command::Restore(args) => commands::backup::restore(&home, &args, cli.json),
        Command::Bench(bench) => commands::bench::run(&home, &bench, cli.json).await,
        Command::Models(models) => commands::models::run(&home, &models, cli.json).await,
        Command::Flow(Flow::Alone(command)) => commands::flow::alone(&command, cli.json).await,
        Command::Flow(Flow::Deploy(args)) => {
            commands::flow::deploy::run(&home, &config, &args, cli.json).await
        }
        Command::Flow(Flow::Top(args)) => commands::flow::top::run(&home, &args, cli.json).await,
        Command::Deploy(args) => Box::pin(commands::deploy::run(&config, &args, cli.json)).await,
        Command::ServeModel(args) => Box::pin(commands::serve_model::run(&home, &args)).await,
        Command::Adapters(args) => commands::adapters::run(&args, cli.json).await,
        Command::Doctor => commands::doctor::run(&home, &config, cli.json),
        Command::ExtractPdf => commands::extract::run(),
    }
}
