//! Any model of a hub: its tokenizer, configuration and safetensors, pinned in a lock file.
//!
//! The first pull asks the hub which commit a revision is and which files it has, and writes that down before anything
//! is fetched (`crave.lock.json` in the model's folder); each file's SHA-256 is added as it comes, where the hub has not
//! told it. Later pulls of the same revision fetch and check those bytes and no others, until they are told to update.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FileSpec, MIB, Origin, Progress, Pulled, hub, verify};
use crate::{Error, Result};

const LOCK_FILE: &str = "crave.lock.json";
/// Bytes of the hub's answer about a repository.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Bytes of a file whose size the hub does not tell.
const SMALL_BYTES_MAX: u64 = 64 * MIB;
/// Files of a repository that are fetched.
const FILES_MAX: usize = 1_000;
/// What beside `*.safetensors` makes a model or an adapter.
const NAMES: [&str; 9] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "model.safetensors.index.json",
    "adapter_config.json",
    "crave_adapter.json",
];

/// What is to be pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoRequest {
    /// `owner/name`.
    pub repo: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// Exactly these files, such as one of several GGUF files; what makes a safetensors model when empty.
    pub files: Vec<String>,
    /// Ask the hub again what the revision is now.
    pub update: bool,
    /// Bytes of all files together.
    pub bytes_max: u64,
}

impl RepoRequest {
    /// Reads `REPO` or `REPO@REVISION`; the revision is `main` where none is named.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is neither.
    pub fn parse(text: &str) -> Result<Self> {
        let (repo, revision) = text.split_once('@').unwrap_or((text, "main"));
        let parts: Vec<&str> = repo.split('/').collect();
        let wrong = |why: &str| Err(Error::Invalid { field: "repository", why: format!("{text:?} {why}") });
        if parts.len() > 2 || !parts.iter().all(|part| is_plain(part)) {
            return wrong("is no OWNER/NAME of a hub");
        }
        if !revision.split('/').all(is_plain) {
            return wrong("names no branch, tag or commit after the @");
        }
        let (repo, revision) = (repo.to_owned(), revision.to_owned());
        Ok(Self { repo, revision, files: Vec::new(), update: false, bytes_max: 200 << 30 })
    }

    /// The model's folder under a models folder.
    #[must_use]
    pub fn folder(&self, models: &Path) -> PathBuf {
        models.join(self.repo.replace('/', "--"))
    }
}

/// One part of a path that stays where it is put.
fn is_plain(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=128).contains(&part.len()) && part.chars().all(plain) && !part.starts_with('.')
}

/// The lock file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Lock {
    repo: String,
    revision: String,
    commit: String,
    files: Vec<Locked>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Locked {
    name: String,
    bytes: Option<u64>,
    sha256: Option<String>,
}

impl Locked {
    fn spec(&self) -> FileSpec {
        FileSpec {
            name: self.name.clone().into(),
            sha256: self.sha256.clone().map(Into::into),
            bytes_max: self.bytes.unwrap_or(SMALL_BYTES_MAX),
        }
    }
}

/// The hub's answer about a repository at a revision.
#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: Option<u64>,
}

/// Makes sure that a model of a hub is under `models`, whole and as its lock file says. `token` is the hub's, for gated and
/// private repositories. Safe to call again and at the same time from several processes.
///
/// # Errors
/// [`Error::Invalid`] for files that are not there or are too large, [`Error::Fetch`] when the hub does not deliver,
/// [`Error::Hash`] when it delivers other bytes, [`Error::Io`].
pub async fn pull_repo(
    models: &Path,
    hub: &str,
    token: Option<&str>,
    request: &RepoRequest,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Pulled> {
    if token.is_some() && !is_private(hub) {
        let why = format!("{hub:?} would send HF_TOKEN unencrypted over the network; take https");
        return Err(Error::Invalid { field: "hub", why });
    }
    let path = request.folder(models);
    std::fs::create_dir_all(&path).map_err(|error| Error::io("create", &path, error))?;
    let _held = super::lock(&path).await?;
    let mut lock = match read(&path)? {
        Some(lock) if lock.fits(request) => lock,
        before => {
            let mut lock = ask(hub, token, request).await?;
            match before.filter(|before| (&before.repo, &before.commit) == (&lock.repo, &lock.commit)) {
                Some(before) => lock.keep(before),
                // Of another commit: they must not become parts of this one's files.
                None => forget_parts(&path)?,
            }
            lock.write(&path)?;
            lock
        }
    };
    let known: Vec<FileSpec> = lock.files.iter().map(Locked::spec).collect();
    let missing = verify::missing(&known, &path, on_progress).await?;
    if missing.is_empty() {
        return Ok(Pulled { path, origin: Origin::Present });
    }
    let place = hub::Place::at(hub, &lock.repo, &lock.commit, token);
    for file in missing {
        let hashes = hub::fetch(std::slice::from_ref(&file), &path, &place, on_progress).await?;
        if let Some(locked) = lock.files.iter_mut().find(|locked| locked.name == file.name) {
            locked.sha256 = hashes.into_iter().next();
        }
        lock.write(&path)?;
    }
    Ok(Pulled { path, origin: Origin::Hub })
}

/// Repositories under `models`, and whether each is whole.
///
/// # Errors
/// [`Error::Io`] when a lock file cannot be read.
pub fn list_repos(models: &Path) -> Result<Vec<(String, PathBuf, bool)>> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(models) else { return Ok(found) };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(lock) = read(&path)? else { continue };
        let whole = lock.files.iter().all(|file| file.sha256.is_some() && path.join(&file.name).is_file());
        found.push((format!("{}@{}", lock.repo, lock.revision), path, whole));
    }
    found.sort();
    Ok(found)
}

impl Lock {
    /// Whether it answers the request without the hub.
    fn fits(&self, request: &RepoRequest) -> bool {
        let same = self.repo == request.repo && self.revision == request.revision && !request.update;
        let exact = match request.files.is_empty() {
            true => self.files.iter().any(|file| file.name.ends_with(".safetensors")),
            false => request.files.iter().all(|name| self.files.iter().any(|file| file.name == *name)),
        };
        same && exact
    }

    /// Takes over what is known of the same commit: other files that were asked for before, and hashes.
    fn keep(&mut self, before: Self) {
        for old in before.files {
            match self.files.iter_mut().find(|file| file.name == old.name) {
                Some(file) => file.sha256 = file.sha256.take().or(old.sha256),
                None => self.files.push(old),
            }
        }
    }

    fn write(&self, path: &Path) -> Result<()> {
        let (target, part) = (path.join(LOCK_FILE), path.join(format!("{LOCK_FILE}.part")));
        let text =
            serde_json::to_string_pretty(self).map_err(|error| Error::io("write", &target, error.into()))?;
        std::fs::write(&part, text)
            .and_then(|()| std::fs::File::open(&part)?.sync_all())
            .and_then(|()| std::fs::rename(&part, &target))
            .map_err(|error| Error::io("write", target, error))
    }
}

fn read(path: &Path) -> Result<Option<Lock>> {
    let at = path.join(LOCK_FILE);
    match std::fs::read(&at) {
        Ok(bytes) => {
            let lock: Lock =
                serde_json::from_slice(&bytes).map_err(|error| Error::io("parse", &at, error.into()))?;
            // The file may have come with a folder from elsewhere.
            match lock.files.iter().all(|file| is_plain(&file.name)) {
                true => Ok(Some(lock)),
                false => Err(Error::io("parse", at, std::io::Error::other("a file's name is a path"))),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // Another folder's file where none should be.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(Error::io("read", at, error)),
    }
}

fn forget_parts(path: &Path) -> Result<()> {
    let entries = std::fs::read_dir(path).map_err(|error| Error::io("list", path, error))?;
    for at in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if at.extension().is_some_and(|extension| extension == "part") {
            std::fs::remove_file(&at).map_err(|error| Error::io("delete", &at, error))?;
        }
    }
    Ok(())
}

async fn ask(hub: &str, token: Option<&str>, request: &RepoRequest) -> Result<Lock> {
    let RepoRequest { repo, revision, .. } = request;
    let revision = revision.replace('/', "%2F");
    let url = format!("{}/api/models/{repo}/revision/{revision}?blobs=true", hub.trim_end_matches('/'));
    let failed = |error: reqwest::Error| Error::Fetch(super::chain(&error));
    let mut sent = hub::client()?.get(&url);
    if let Some(token) = token {
        sent = sent.bearer_auth(token);
    }
    let mut response = sent.send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(Error::Fetch(hub::answered(&url, response.status()).why));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(Error::Fetch(format!("{url} answered more than {ANSWER_BYTES_MAX} bytes")));
        }
    }
    let answer: Answer =
        serde_json::from_slice(&body).map_err(|error| Error::Fetch(format!("{url} is no hub: {error}")))?;
    if !is_plain(&answer.sha) {
        return Err(Error::Fetch(format!("{url} names no commit")));
    }
    let files = choose(request, answer.siblings)?;
    let (repo, revision) = (repo.clone(), request.revision.clone());
    Ok(Lock { repo, revision, commit: answer.sha, files })
}

/// The files to fetch, weights last: when they are there, all is there.
fn choose(request: &RepoRequest, siblings: Vec<Sibling>) -> Result<Vec<Locked>> {
    let wrong = |why: String| Error::Invalid { field: "repository", why };
    let wanted = |name: &str| match request.files.is_empty() {
        // Mistral's own form of the same weights beside the sharded one.
        true => NAMES.contains(&name) || name.ends_with(".safetensors") && !name.starts_with("consolidated"),
        false => request.files.iter().any(|file| file == name),
    };
    let chosen =
        siblings.into_iter().filter(|sibling| is_plain(&sibling.rfilename) && wanted(&sibling.rfilename));
    let mut files: Vec<Locked> = chosen
        .map(|Sibling { rfilename, size, lfs }| Locked {
            name: rfilename,
            bytes: size.or(lfs.as_ref().and_then(|lfs| lfs.size)),
            sha256: lfs.map(|lfs| lfs.sha256.to_ascii_lowercase()),
        })
        .collect();
    if let Some(name) = request.files.iter().find(|name| !files.iter().any(|file| file.name == **name)) {
        return Err(wrong(format!("{:?} has no file {name:?} at its top", request.repo)));
    }
    if request.files.is_empty() && !files.iter().any(|file| file.name.ends_with(".safetensors")) {
        return Err(wrong(format!("{:?} has no safetensors; name its files with --file", request.repo)));
    }
    let bytes = files.iter().map(|file| file.bytes.unwrap_or(SMALL_BYTES_MAX)).fold(0, u64::saturating_add);
    if files.len() > FILES_MAX || bytes > request.bytes_max {
        let (count, max) = (files.len(), request.bytes_max);
        return Err(wrong(format!(
            "{:?} is {count} files of {bytes} bytes; at most {FILES_MAX} files of {max} bytes are taken",
            request.repo
        )));
    }
    files.sort_by(|a, b| (a.bytes, &a.name).cmp(&(b.bytes, &b.name)));
    Ok(files)
}

/// Nobody on the way can read what is sent.
fn is_private(hub: &str) -> bool {
    let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let ends = |rest: &str| rest.is_empty() || rest.starts_with([':', '/']);
    // What stands before an @ is no host.
    let plain = !hub.contains('@');
    hub.starts_with("https://")
        || plain && local.iter().any(|local| hub.strip_prefix(local).is_some_and(ends))
}
