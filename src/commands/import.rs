//! `crave import`: a file through the log into the tables; resumable, idempotent, counted to the last record.

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Subcommand;
use crave_connect::import::{
    ImportItem, ImportReport, Verdict, after, apple_health, csv_map, health_auto_export,
};
use crave_schemas::{Clock as _, Code, EventId, SystemClock, UserId};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::{
    config::Config,
    home::Home,
    node::{BATCH_EVENTS, Fate},
    operator::Operator,
};

/// Flags of `import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    format: Format,
}

/// What the file is.
#[derive(Debug, Subcommand)]
enum Format {
    /// Apple Health: `export.xml`, or the `export.zip` it came in.
    AppleHealth {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        #[arg(long)]
        user: String,
    },
    /// The JSON of the app Health Auto Export.
    HealthAutoExport {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        #[arg(long)]
        user: String,
    },
    /// Anything tabular, described by a map.
    Csv {
        /// The file.
        file: PathBuf,
        /// The map: which columns are what; pipelines/connect/maps has examples.
        #[arg(long)]
        map: PathBuf,
        /// Whose rows they are, where the map names no column.
        #[arg(long)]
        user: Option<String>,
    },
}

impl Format {
    fn file(&self) -> &Path {
        match self {
            Self::AppleHealth { file, .. } | Self::HealthAutoExport { file, .. } | Self::Csv { file, .. } => {
                file
            }
        }
    }

    fn open(
        &self,
        now: chrono::DateTime<chrono::Utc>,
    ) -> anyhow::Result<Box<dyn Iterator<Item = ImportItem>>> {
        let file = File::open(self.file())
            .with_context(|| format!("{}: cannot be opened", self.file().display()))?;
        Ok(match self {
            Self::AppleHealth { user, .. } => {
                let user = UserId::new(user.as_str())?;
                Box::new(apple_health::items(apple_health::open(BufReader::new(file))?, &user, now))
            }
            Self::HealthAutoExport { user, .. } => {
                let user = UserId::new(user.as_str())?;
                Box::new(health_auto_export::items(BufReader::new(file), &user, now))
            }
            Self::Csv { map, user, .. } => {
                let text =
                    fs::read_to_string(map).with_context(|| format!("{}: cannot be read", map.display()))?;
                let map = csv_map::CsvMap::parse(&text)?;
                let user = user.as_deref().map(UserId::new).transpose()?;
                Box::new(csv_map::items(BufReader::new(file), &map, user.as_ref(), now)?)
            }
        })
    }

    /// Names an import for resuming: the same file for the same user with the same map.
    fn identity(&self) -> anyhow::Result<String> {
        let file = self
            .file()
            .canonicalize()
            .with_context(|| format!("{}: cannot be opened", self.file().display()))?;
        let (bytes, user) = (file.metadata()?.len(), UserId::new("import")?);
        let text = format!("{self:?}|{}|{bytes}", file.display());
        Ok(EventId::derived(&user, text.as_bytes()).to_string())
    }
}

/// Where an import stands: written after each batch is durable, removed at its end.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Progress {
    record: u64,
    report: ImportReport,
}

pub(crate) async fn run(home: &Home, config: &Config, args: &Args, json: bool) -> anyhow::Result<ExitCode> {
    let operator = Operator::open(home, config).await?;
    let state = home.imports()?.join(format!("{}.json", args.format.identity()?));
    let mut progress: Progress = match fs::read(&state) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{}: delete it to begin anew", state.display()))?,
        Err(_) => Progress::default(),
    };
    if progress.record > 0 {
        eprintln!("resuming after record {}", progress.record);
    }
    let bar = progress_bar(fs::metadata(args.format.file())?.len());
    let mut items = after(args.format.open(SystemClock.now())?, progress.record).peekable();
    while items.peek().is_some() {
        let batch = next_batch(&mut items);
        bar.set_position(batch.last().map_or(0, |item| item.at));
        send(&operator, &batch, &mut progress).await?;
        fs::write(&state, serde_json::to_vec(&progress)?)?;
    }
    bar.set_message("computing tables");
    operator.drain().await?;
    bar.finish_and_clear();
    if state.exists() {
        fs::remove_file(&state)?;
    }
    operator.close().await;
    let report = progress.report;
    anyhow::ensure!(report.sums_up(), "the counts do not add up: {report:?}; please report this");
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{} read, {} accepted, {} duplicate", report.read, report.accepted, report.duplicate);
        for (reason, n) in &report.refused {
            println!("{n} refused: {reason}");
        }
    }
    if !report.complete {
        eprintln!("crave: the file ends in the middle; everything before that is imported");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// At least a batch of items, ending where a record ends, so that resuming skips no part of one.
fn next_batch(items: &mut std::iter::Peekable<impl Iterator<Item = ImportItem>>) -> Vec<ImportItem> {
    let mut batch: Vec<ImportItem> = Vec::with_capacity(BATCH_EVENTS);
    while let Some(next) = items.peek() {
        if batch.len() >= BATCH_EVENTS && batch.last().is_some_and(|last| last.record != next.record) {
            break;
        }
        batch.extend(items.next());
    }
    batch
}

async fn send(operator: &Operator, batch: &[ImportItem], progress: &mut Progress) -> anyhow::Result<()> {
    let events = batch.iter().filter_map(|item| item.what.as_ref().ok().cloned()).collect();
    let mut fates = operator.feed(events).await?.into_iter();
    for item in batch {
        let verdict = match &item.what {
            Err(rejected) => Verdict::Rejected(rejected),
            Ok(_) => match fates.next() {
                Some(Fate::Accepted) => Verdict::Accepted,
                // The id is derived from the record: another body is the same record in another zone's wall time.
                Some(Fate::Duplicate | Fate::Refused(Code::Conflict)) => Verdict::Duplicate,
                Some(Fate::Refused(code)) => Verdict::Refused(code.as_str()),
                None => anyhow::bail!("an event was sent and not judged; please report this"),
            },
        };
        progress.report.note(item, verdict);
        progress.record = progress.record.max(item.record);
    }
    Ok(())
}

fn progress_bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {elapsed} {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
