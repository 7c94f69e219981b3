//! `crave flow run`: a bounded job from its first row to its last, or to a checkpoint and on from there.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::value_parser;
use crave_flow::{CheckpointStore, Connectors, Pipeline, PipelineHandle, PipelineOptions, Program};
use serde::{Deserialize, Serialize};

use super::{Job, batch, memory, progress::Progress};

/// Rows of a batch where no barrier is asked for more often.
const BATCH_ROWS: u64 = 8192;
/// Rows a source partition reads before the checkpoint of `--stop-at-checkpoint`, unless told otherwise.
const STOP_AFTER_ROWS: u64 = 1000;
/// How the files of a checkpoint folder begin.
const CHECKPOINT_FILES: &[&str] =
    &["checkpoint-", "state-", "late-", "epochs.json", ".checkpoint-", ".state-"];

/// Flags of `flow run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    job: Job,
    /// Tasks a windowed step; the number of cores when absent.
    #[arg(long, value_parser = value_parser!(u16).range(1..=256))]
    parallelism: Option<u16>,
    /// Take a checkpoint, commit it and end: exit code 0 when all rows up to it are out.
    #[arg(long)]
    stop_at_checkpoint: bool,
    /// Go on from the last checkpoint.
    #[arg(long)]
    resume: bool,
    /// Folder of the checkpoints; beside the output when absent.
    #[arg(long, value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Seconds between two checkpoints; 0: none but at the end.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    checkpoint_interval_s: u64,
    /// A checkpoint each time a source partition has read this many rows.
    #[arg(long, value_name = "ROWS", value_parser = value_parser!(u64).range(1..))]
    checkpoint_rows: Option<u64>,
    /// Run it as a DataFusion batch instead: the same rows, to compare with.
    #[arg(long, conflicts_with_all = ["resume", "stop_at_checkpoint", "checkpoints", "checkpoint_rows"])]
    batch: bool,
}

/// What a run did; printed as JSON with `--json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Name of the job.
    pub(crate) job: String,
    /// All rows are out; false after `--stop-at-checkpoint`, when more are to come.
    pub(crate) finished: bool,
    /// Rows read; a batch does not count them.
    pub(crate) rows_in: Option<u64>,
    /// Rows written.
    pub(crate) rows_out: u64,
    /// Rows that came too late for a window.
    pub(crate) late_rows: u64,
    /// Seconds from opening the sources to the last commit.
    pub(crate) seconds: f64,
    /// Most memory the process had at a time.
    pub(crate) memory_peak_bytes: Option<u64>,
    /// Tasks a windowed step.
    pub(crate) parallelism: usize,
}

pub(super) async fn run(args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let program = args.job.program().await?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let parallelism = args.parallelism.map_or(cores, usize::from);
    let name = program.name().to_owned();
    #[allow(clippy::disallowed_methods, reason = "how long a run took")]
    let start = Instant::now();
    let mut outcome = if args.batch {
        let rows_out = batch::run(&program, &Connectors::built_in(), parallelism).await?;
        Outcome {
            job: name,
            finished: true,
            rows_in: None,
            rows_out,
            late_rows: 0,
            seconds: 0.0,
            memory_peak_bytes: None,
            parallelism,
        }
    } else {
        stream(args, program, parallelism).await?
    };
    outcome.seconds = start.elapsed().as_secs_f64();
    outcome.memory_peak_bytes = memory::peak_bytes();
    if json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        println!("{}", text(&outcome));
    }
    Ok(if outcome.finished || args.stop_at_checkpoint { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn stream(args: &Args, program: Program, parallelism: usize) -> anyhow::Result<Outcome> {
    let checkpoints = Checkpoints::of(args, &program)?;
    let rows = match args.checkpoint_rows {
        None if args.stop_at_checkpoint => Some(STOP_AFTER_ROWS),
        rows => rows,
    };
    let every = Some(args.checkpoint_interval_s).filter(|s| *s > 0 && !checkpoints.lost_at_end());
    let options = PipelineOptions {
        parallelism,
        checkpoint_interval: every.map(Duration::from_secs),
        checkpoint_rows: rows,
        stop_at_first_checkpoint: args.stop_at_checkpoint,
        ..PipelineOptions::default()
    };
    // A barrier passes between two batches, so a batch is not larger than an epoch.
    let batch_rows = usize::try_from(rows.unwrap_or(BATCH_ROWS).min(BATCH_ROWS))?;
    let name = program.name().to_owned();
    let store = CheckpointStore::local(checkpoints.folder())?;
    let connectors = Connectors::files(batch_rows);
    let handle = Box::pin(Pipeline::start(vec![program], &connectors, store, None, options)).await?;
    let stopped = wait(&handle).await?;
    let status = handle.status();
    let finished = !stopped && status.jobs.iter().all(|j| j.watermark_ns == i64::MAX);
    if finished && !args.stop_at_checkpoint {
        checkpoints.done();
    } else {
        eprintln!(
            "crave: stopped at a checkpoint in {}; go on with --resume",
            checkpoints.folder().display()
        );
    }
    Ok(Outcome {
        job: name,
        finished,
        rows_in: Some(status.jobs.iter().map(|j| j.rows_in).sum()),
        rows_out: status.jobs.iter().map(|j| j.rows_out).sum(),
        late_rows: status.jobs.iter().map(|j| j.late_rows).sum(),
        seconds: 0.0,
        memory_peak_bytes: None,
        parallelism,
    })
}

/// Waits for the end and shows how it goes; true when somebody pressed Ctrl-C, which takes a checkpoint.
async fn wait(handle: &PipelineHandle) -> anyhow::Result<bool> {
    let progress = Progress::start();
    let mut end = std::pin::pin!(handle.join());
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            ended = &mut end => {
                ended?;
                return Ok(false);
            }
            _ = tick.tick() => progress.show(&handle.status()),
            pressed = tokio::signal::ctrl_c() => {
                pressed?;
                handle.stop_at_checkpoint().await?;
                return Ok(true);
            }
        }
    }
}

fn text(outcome: &Outcome) -> String {
    let mut text = format!(
        "{}: {} rows out in {:.2} s at parallelism {}",
        outcome.job, outcome.rows_out, outcome.seconds, outcome.parallelism
    );
    if let Some(rows) = outcome.rows_in {
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = rows as f64 / outcome.seconds;
        text.push_str(&format!("; {rows} rows in, {rate:.0} a second"));
    }
    if outcome.late_rows > 0 {
        text.push_str(&format!(
            "; {} rows were behind the watermark and are in no window: allow for more disorder in WATERMARK FOR",
            outcome.late_rows
        ));
    }
    text
}

/// Where the checkpoints of a run lie.
struct Checkpoints {
    folder: PathBuf,
    place: Place,
}

#[derive(PartialEq)]
enum Place {
    /// The caller's folder: kept.
    Given,
    /// Made by us beside the output: removed once all rows are out.
    Beside,
    /// Of this process, for a job that writes no file.
    Temporary,
}

impl Checkpoints {
    /// Finds the folder, and empties it unless the run goes on from it.
    fn of(args: &Args, program: &Program) -> anyhow::Result<Self> {
        let output = program.outputs().iter().find_map(|o| o.table.options.get("path"));
        let (folder, place) = match (&args.checkpoints, output) {
            (Some(folder), _) => (folder.clone(), Place::Given),
            (None, Some(path)) => {
                let path = path.strip_prefix("file://").unwrap_or(path).trim_end_matches('/');
                (PathBuf::from(format!("{path}.checkpoints")), Place::Beside)
            }
            (None, None) => {
                let name = format!("crave-flow-{}-{}", program.name(), std::process::id());
                (std::env::temp_dir().join(name), Place::Temporary)
            }
        };
        if args.resume {
            let found = place != Place::Temporary && holds_checkpoint(&folder);
            anyhow::ensure!(
                found,
                "{}: there is no checkpoint to go on from; run without --resume, or name the folder with --checkpoints",
                folder.display()
            );
        } else {
            empty(&folder)?;
        }
        Ok(Self { folder, place })
    }

    fn folder(&self) -> &Path {
        &self.folder
    }

    fn lost_at_end(&self) -> bool {
        self.place == Place::Temporary
    }

    /// All rows are out: nothing will go on from here.
    fn done(&self) {
        if self.place != Place::Given {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if self.lost_at_end() {
            self.done();
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

fn holds_checkpoint(folder: &Path) -> bool {
    names(folder).iter().any(|n| n.starts_with("checkpoint-"))
}

/// Removes the checkpoints of an earlier run, and refuses a folder that holds anything else.
fn empty(folder: &Path) -> anyhow::Result<()> {
    let names = names(folder);
    if let Some(stray) = names.iter().find(|n| !CHECKPOINT_FILES.iter().any(|begin| n.starts_with(begin))) {
        anyhow::bail!(
            "{}: holds {stray}, which is no checkpoint; give --checkpoints a folder of its own",
            folder.display()
        );
    }
    for name in names {
        let path = folder.join(name);
        std::fs::remove_file(&path).with_context(|| format!("{}: cannot be removed", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checkpoints_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["checkpoint-1.json", "state-job-0-1.parquet", "epochs.json", ".state-x.tmp"] {
            std::fs::write(path.join(name), "x").unwrap();
        }
        assert!(holds_checkpoint(path));
        empty(path).unwrap();
        assert!(names(path).is_empty() && !holds_checkpoint(path));
        std::fs::write(path.join("checkpoint-1.json"), "x").unwrap();
        std::fs::write(path.join("diary.txt"), "x").unwrap();
        assert!(empty(path).unwrap_err().to_string().contains("diary.txt"));
        assert_eq!(names(path).len(), 2);
        empty(&path.join("absent")).unwrap();
    }
}
