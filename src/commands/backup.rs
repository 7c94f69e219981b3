//! `crave backup` and `crave restore`: the whole home, at one epoch.
//!
//! A backup is taken with the home's lock held, so nothing writes: log, ids, checkpoints, tables, vectors and
//! accounts stand as a stop (or a crash) left them, and a restored home recovers as after that stop.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::json;

use crate::{
    config::{Config, LogKind},
    home::Home,
};

/// At the top of a home, not part of a backup: the lock, a server's socket, and what a bench left.
const LEFT_OUT: [&str; 3] = ["lock", "crave.sock", "bench"];

/// Flags of `backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// A folder that does not exist yet.
    #[arg(long)]
    to: PathBuf,
}

/// Flags of `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// A folder that `crave backup` made.
    #[arg(long)]
    from: PathBuf,
}

pub(crate) fn backup(home: &Home, config: &Config, args: &Backup, json: bool) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        config.log.kind == LogKind::Local,
        "the event log is in Kafka, which a copy of this home does not hold; back the cluster's topics up with its own tools"
    );
    let shared = [home.lake(), home.accounts()].iter().any(|path| !path.starts_with(home.path()));
    anyhow::ensure!(
        !shared,
        "tables or accounts lie outside this home (section [shared]); back those up where they are"
    );
    let _lock = home.lock()?;
    anyhow::ensure!(!args.to.exists(), "{}: exists; give a new folder", args.to.display());
    // A name of its own until it is whole: a backup cut short is never taken for one.
    let partial = args.to.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let copied = copy(home.path(), &partial, &LEFT_OUT)?;
    fs::rename(&partial, &args.to)?;
    report("backed up", &args.to, copied, json);
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn restore(home: &Home, args: &Restore, json: bool) -> anyhow::Result<ExitCode> {
    let _lock = home.lock()?;
    let used = fs::read_dir(home.path())?
        .filter_map(Result::ok)
        .any(|e| !LEFT_OUT.iter().any(|name| e.file_name() == *name));
    anyhow::ensure!(!used, "{}: is not empty; restore into a new --home", home.path().display());
    anyhow::ensure!(args.from.join("log").is_dir(), "{}: is not a backup of crave", args.from.display());
    let copied = copy(&args.from, home.path(), &[])?;
    report("restored", home.path(), copied, json);
    Ok(ExitCode::SUCCESS)
}

/// Files and bytes copied.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    files: u64,
    bytes: u64,
}

fn copy(from: &Path, to: &Path, left_out: &[&str]) -> anyhow::Result<Copied> {
    fs::create_dir_all(to).with_context(|| format!("{}: cannot be made", to.display()))?;
    let mut copied = Copied::default();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if left_out.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_symlink() {
            // A table's name: the folder it stands for is copied too.
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else if entry.file_type()?.is_dir() {
            let inner = copy(&source, &target, &[])?;
            copied.files += inner.files;
            copied.bytes += inner.bytes;
        } else {
            copied.bytes += fs::copy(&source, &target)
                .with_context(|| format!("{}: cannot be copied", source.display()))?;
            File::open(&target)?.sync_all()?;
            copied.files += 1;
        }
    }
    File::open(to)?.sync_all()?;
    Ok(copied)
}

fn report(what: &str, path: &Path, copied: Copied, json: bool) {
    if json {
        println!("{}", json!({ "path": path, "files": copied.files, "bytes": copied.bytes }));
    } else {
        println!("{what} {}: {} files, {} bytes", path.display(), copied.files, copied.bytes);
    }
}
