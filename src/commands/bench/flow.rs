//! `crave bench flow`: rows a second and peak memory of streaming queries, beside DataFusion batch over the same file.
//!
//! Each measurement is `crave flow run` in a process of its own, so that its peak memory is its own; where there is
//! `taskset`, that process gets as many cores as its parallelism. A query the engine refuses is reported as refused.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::events::{self, Shape};
use crate::commands::flow::Outcome;

const HEAD: &str = include_str!("flow/head.sql");
const QUERIES: [(&str, &str); 6] = [
    ("filter", include_str!("flow/filter.sql")),
    ("tumble", include_str!("flow/tumble.sql")),
    ("hop", include_str!("flow/hop.sql")),
    ("session", include_str!("flow/session.sql")),
    ("join", include_str!("flow/join.sql")),
    ("top_n", include_str!("flow/top_n.sql")),
];

/// Flags of `bench flow`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Events at size 1.
    #[arg(long, default_value_t = 500_000)]
    rows: usize,
    /// People.
    #[arg(long, default_value_t = 2_000)]
    users: usize,
    /// Days at size 1; a larger input is more days of as many events.
    #[arg(long, default_value_t = 60)]
    days: usize,
    /// Input sizes, in multiples of `--rows`.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16])]
    sizes: Vec<usize>,
    /// Cores and tasks to run with.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    parallelism: Vec<usize>,
    /// What to run: filter, tumble, hop (1 day, 30 days), session, join, top_n.
    #[arg(long, value_delimiter = ',', default_values_t = QUERIES.map(|q| q.0.to_owned()))]
    queries: Vec<String>,
    /// Files to read: json (NDJSON), parquet.
    #[arg(long, value_delimiter = ',', default_values_t = ["json".to_owned(), "parquet".to_owned()])]
    formats: Vec<String>,
    /// Where rows go: `blackhole`, or `single_file` to write them as NDJSON.
    #[arg(long, default_value = "blackhole")]
    sink: String,
    /// Runs of each measurement; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Leave the batch out.
    #[arg(long)]
    stream_only: bool,
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Keep the files here; a temporary folder when absent.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// One row of the result.
struct Measured<'a> {
    query: &'a str,
    format: &'a str,
    size: usize,
    rows: usize,
    cores: usize,
}

pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let temporary = std::env::temp_dir().join(format!("crave-bench-flow-{}", std::process::id()));
    let dir = args.dir.clone().unwrap_or_else(|| temporary.clone());
    let result = measure(args, &dir, json);
    if args.dir.is_none() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    let results = result?;
    if json {
        println!("{}", json!({ "bench": "flow", "optimised": !cfg!(debug_assertions), "results": results }));
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(args: &Args, dir: &Path, quiet: bool) -> anyhow::Result<Vec<Value>> {
    std::fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    let queries = chosen(&args.queries)?;
    if !quiet {
        println!("{}", header());
    }
    let mut results = Vec::new();
    for &size in &args.sizes {
        let shape =
            Shape { rows: args.rows * size, users: args.users, days: args.days * size, seed: args.seed };
        let files = [
            ("json", dir.join(format!("events-{size}x.json"))),
            ("parquet", dir.join(format!("events-{size}x.parquet"))),
        ];
        events::write(shape, &files[0].1, &files[1].1)?;
        for (query, sql) in &queries {
            let file = dir.join(format!("{query}.sql"));
            std::fs::write(&file, format!("{HEAD}{sql}"))?;
            for format in &args.formats {
                let input = files
                    .iter()
                    .find(|f| f.0 == format)
                    .with_context(|| format!("no format {format}: write json or parquet"))?;
                for &cores in &args.parallelism {
                    let what = Measured { query, format, size, rows: shape.rows, cores };
                    let job = Run { file: &file, input: &input.1, output: dir.join("out.json"), what: &what };
                    let result = job.compare(args)?;
                    if !quiet {
                        println!("{}", line(&result));
                    }
                    results.push(result);
                }
            }
        }
        if args.dir.is_none() {
            files.iter().try_for_each(|f| std::fs::remove_file(&f.1))?;
        }
    }
    Ok(results)
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<(&'static str, &'static str)>> {
    let find = |name: &String| {
        let found = QUERIES.into_iter().find(|q| q.0 == name);
        found.with_context(|| format!("no query {name}; there are {}", QUERIES.map(|q| q.0).join(", ")))
    };
    names.iter().map(find).collect()
}

/// One query over one file.
struct Run<'a> {
    file: &'a Path,
    input: &'a Path,
    output: PathBuf,
    what: &'a Measured<'a>,
}

impl Run<'_> {
    fn compare(&self, args: &Args) -> anyhow::Result<Value> {
        let Measured { query, format, size, rows, cores } = self.what;
        let mut result =
            json!({ "query": query, "format": format, "size": size, "rows": rows, "parallelism": cores });
        let check = Command::new(std::env::current_exe()?).args(["flow", "check"]).arg(self.file).output()?;
        if !check.status.success() {
            result["refused"] = String::from_utf8_lossy(&check.stderr).trim().into();
            return Ok(result);
        }
        let flow = self.median(args, false)?;
        result["flow"] = numbers(&flow, *rows);
        if !args.stream_only {
            let batch = self.median(args, true)?;
            anyhow::ensure!(
                batch.rows_out == flow.rows_out && flow.late_rows == 0,
                "{query} over {format}: the stream gave {} rows ({} late), the batch {}",
                flow.rows_out,
                flow.late_rows,
                batch.rows_out
            );
            result["datafusion"] = numbers(&batch, *rows);
            result["time_of_datafusion"] = rounded(flow.seconds / batch.seconds, 100.0);
        }
        Ok(result)
    }

    fn median(&self, args: &Args, batch: bool) -> anyhow::Result<Outcome> {
        let runs = (0..args.runs.max(1)).map(|_| self.once(args, batch));
        let mut runs = runs.collect::<anyhow::Result<Vec<_>>>()?;
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        Ok(runs.swap_remove(runs.len() / 2))
    }

    fn once(&self, args: &Args, batch: bool) -> anyhow::Result<Outcome> {
        let cores = self.what.cores.max(1);
        let mut command = on_cores(cores)?;
        command.env("TOKIO_WORKER_THREADS", cores.to_string()).args(["--json", "flow", "run"]).arg(self.file);
        for (name, value) in [
            ("input", self.input.display().to_string()),
            ("output", self.output.display().to_string()),
            ("format", self.what.format.to_owned()),
            ("sink", args.sink.clone()),
        ] {
            command.arg("--set").arg(format!("{name}={value}"));
        }
        command.args(["--parallelism", &cores.to_string()]);
        if batch {
            command.arg("--batch");
        } else {
            command.args(["--checkpoint-interval-s", "0"]);
        }
        let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
        anyhow::ensure!(
            output.status.success(),
            "{}: {}",
            self.what.query,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// This binary, kept to the first `cores` cores where `taskset` is there.
fn on_cores(cores: usize) -> anyhow::Result<Command> {
    let binary = std::env::current_exe()?;
    if Command::new("taskset").arg("--version").output().is_ok_and(|o| o.status.success()) {
        let mut command = Command::new("taskset");
        command.args(["-c", &format!("0-{}", cores - 1)]).arg(binary);
        return Ok(command);
    }
    Ok(Command::new(binary))
}

#[allow(clippy::cast_precision_loss, reason = "rates and sizes for people")]
fn numbers(outcome: &Outcome, rows: usize) -> Value {
    let memory = outcome.memory_peak_bytes.map(|bytes| rounded(bytes as f64 / (1 << 20) as f64, 1.0));
    json!({
        "seconds": rounded(outcome.seconds, 1000.0), "rows_per_s": rounded(rows as f64 / outcome.seconds, 1.0),
        "rows_out": outcome.rows_out, "memory_peak_mib": memory,
    })
}

fn rounded(number: f64, steps: f64) -> Value {
    json!((number * steps).round() / steps)
}

fn header() -> String {
    format!(
        "{:8} {:8} {:>5} {:>11} {:>5} | {:>8} {:>10} {:>8} | {:>8} {:>8} | {:>10}",
        "query", "file", "size", "rows", "cores", "flow s", "rows/s", "MiB", "batch s", "MiB", "time/batch"
    )
}

fn line(result: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let head = format!(
        "{:8} {:8} {:>4}x {:>11} {:>5} |",
        text(&result["query"]),
        text(&result["format"]),
        result["size"],
        result["rows"],
        result["parallelism"]
    );
    if let Some(refused) = result["refused"].as_str() {
        return format!("{head} refused: {refused}");
    }
    let (flow, batch) = (&result["flow"], &result["datafusion"]);
    format!(
        "{head} {:>8} {:>10} {:>8} | {:>8} {:>8} | {:>10}",
        text(&flow["seconds"]),
        text(&flow["rows_per_s"]),
        text(&flow["memory_peak_mib"]),
        text(&batch["seconds"]),
        text(&batch["memory_peak_mib"]),
        text(&result["time_of_datafusion"])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_found_by_name() {
        assert_eq!(chosen(&["hop".into(), "filter".into()]).unwrap()[1].0, "filter");
        assert!(chosen(&["cube".into()]).unwrap_err().to_string().contains("top_n"));
    }
}
