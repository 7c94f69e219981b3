//! The folder of adapters on disk: how one is added, replaced, pinned and removed while a server reads it.
//!
//! ```text
//! sarah -> .versions/sarah.0f3c…      the version that the name stands for
//! .versions/sarah.0f3c…/…             its files, never changed once they are there
//! .versions/.incoming-…               what is being fetched, locked by the process that does it
//! .pins.json                          names that stay in memory
//! ```
//!
//! A version is its content's hash. It is checked against the base before its name points to it, and the name is moved
//! in one rename, so that a reader finds the old version whole or the new one whole. Folders that somebody put there by
//! hand are served as well.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{BASE_FILE, CONFIG_FILE, source};
use crate::{Adapter, Error, Model, Result};

const VERSIONS: &str = ".versions";
const PINS: &str = ".pins.json";
const LOCK: &str = ".lock";
/// How folders of fetches begin.
const INCOMING: &str = ".incoming-";
/// Characters of an adapter's name.
const NAME_CHARS_MAX: usize = 64;
/// Characters of a content hash in the name of a version's folder.
const VERSION_CHARS: usize = 16;

/// Whether an adapter may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.')
}

/// A folder of adapters. Changes take its lock, so that commands and a server can make them at the same time.
#[derive(Clone, Debug)]
pub struct AdapterStore {
    dir: PathBuf,
}

/// Files that were fetched and are not yet checked; removed when dropped, and where their process was killed, by the next
/// [`AdapterStore::fetch`].
#[derive(Debug)]
pub struct Staged {
    name: String,
    dir: PathBuf,
    /// The folder, locked: the lock ends with its process, however that ends.
    _held: File,
}

/// An adapter that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// SHA-256 of its tensors, in hex.
    pub version: String,
    /// Bytes of memory that it takes.
    pub bytes: u64,
    /// The name stood for another version before.
    pub replaced: bool,
}

/// An adapter on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// SHA-256 of its tensors, in hex, if it was added here.
    pub version: Option<String>,
    /// It stays in memory.
    pub pinned: bool,
}

impl AdapterStore {
    /// The store in `dir`, which is made when it is absent.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self> {
        let versions = dir.join(VERSIONS);
        fs::create_dir_all(&versions).map_err(|error| Error::io("create", &versions, error))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Whether an adapter may have this name.
    ///
    /// # Errors
    /// [`Error::Invalid`], which says what a name is.
    pub fn check_name(name: &str) -> Result<()> {
        if is_name(name) {
            return Ok(());
        }
        let why =
            format!("{name:?} must be 1 to {NAME_CHARS_MAX} of A-Z a-z 0-9 - _ . and begin with no dot");
        Err(Error::invalid("name", why))
    }

    /// Fetches the adapter at `source`, a PEFT folder or the URL of one in an object store, to be added as `name`. Deletes
    /// what killed processes left of theirs.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is none, [`Error::Source`], [`Error::Io`].
    pub async fn fetch(&self, name: &str, source: &str) -> Result<Staged> {
        Self::check_name(name)?;
        let staged = self.stage(name)?;
        source::fetch(source, &staged.dir).await?;
        Ok(staged)
    }

    /// An empty folder for files of `name`. Under the store's lock: nobody sees it before it is locked itself.
    fn stage(&self, name: &str) -> Result<Staged> {
        let _lock = self.lock()?;
        self.sweep_incoming()?;
        let incoming = |number: u32| {
            self.dir.join(VERSIONS).join(format!("{INCOMING}{name}-{}-{number}", std::process::id()))
        };
        let dir = (0..).map(incoming).find(|dir| !dir.exists()).unwrap_or_default();
        fs::create_dir(&dir).map_err(|error| Error::io("create", &dir, error))?;
        let held = File::open(&dir).and_then(|folder| folder.lock().map(|()| folder));
        let held = held.map_err(|error| Error::io("lock", &dir, error))?;
        Ok(Staged { name: name.to_owned(), dir, _held: held })
    }

    /// Deletes the folders of fetches that nobody holds: their processes were killed.
    fn sweep_incoming(&self) -> Result<()> {
        let versions = self.dir.join(VERSIONS);
        let entries = fs::read_dir(&versions).map_err(|error| Error::io("list", &versions, error))?;
        for entry in entries.flatten() {
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(INCOMING));
            // One that is gone meanwhile became a version or was dropped.
            let left = is_ours && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok());
            if left {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|error| Error::io("delete", &path, error))?;
            }
        }
        Ok(())
    }

    /// Checks what was fetched against `base`, as [`Adapter::load`] does, and makes it what its name stands for. The base's
    /// hash is written beside it, so that it is never served on another. Blocks.
    ///
    /// # Errors
    /// Those of [`Adapter::load`]; [`Error::Invalid`] when the name is a folder that was not added here.
    pub fn add(&self, staged: &Staged, base: &Model, base_names: &[String]) -> Result<Added> {
        let name = &staged.name;
        let adapter = Adapter::load(name, &staged.dir, base, base_names)?;
        let note = json!({ "base_sha256": base.sha256(), "version": adapter.version() });
        write(&staged.dir.join(BASE_FILE), &note)?;
        let _lock = self.lock()?;
        let link = self.dir.join(name);
        let before = fs::symlink_metadata(&link).ok();
        if before.as_ref().is_some_and(|metadata| !metadata.is_symlink()) {
            return Err(Error::invalid(
                "name",
                format!("{name:?} is a folder that was put there by hand; remove it first"),
            ));
        }
        let short = adapter.version().get(..VERSION_CHARS).unwrap_or_default();
        let version = Path::new(VERSIONS).join(format!("{name}.{short}"));
        let replaced = fs::read_link(&link).is_ok_and(|target| target != version);
        let target = self.dir.join(&version);
        if !target.exists() {
            rename(&staged.dir, &target)?;
        }
        let new = self.dir.join(format!(".link-{name}"));
        let _ = fs::remove_file(&new);
        symlink(&version, &new).map_err(|error| Error::io("link", &new, error))?;
        rename(&new, &link)?;
        Ok(Added { version: adapter.version().to_owned(), bytes: adapter.bytes(), replaced })
    }

    /// Deletes the versions of `name` that it does not stand for. To be called once no load of them is under way.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sweep(&self, name: &str) -> Result<()> {
        let _lock = self.lock()?;
        let current = fs::read_link(self.dir.join(name)).ok();
        let versions = self.dir.join(VERSIONS);
        let entries = fs::read_dir(&versions).map_err(|error| Error::io("list", &versions, error))?;
        for entry in entries.flatten() {
            let file = entry.file_name();
            // A name may hold dots, a hash does not.
            let of_it =
                file.to_str().and_then(|file| file.rsplit_once('.')).is_some_and(|(of, _)| of == name);
            if of_it && current.as_deref() != Some(&Path::new(VERSIONS).join(&file)) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|error| Error::io("delete", &path, error))?;
            }
        }
        Ok(())
    }

    /// Takes the name away, so that nobody loads the adapter any more; [`AdapterStore::sweep`] deletes its files.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::Io`].
    pub fn remove(&self, name: &str) -> Result<()> {
        self.exists(name)?;
        let _lock = self.lock()?;
        let path = self.dir.join(name);
        let is_link = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        match is_link {
            true => fs::remove_file(&path).map_err(|error| Error::io("delete", &path, error))?,
            // Out of sight at once, deleted by the sweep.
            false => rename(&path, &self.dir.join(VERSIONS).join(format!("{name}.removed")))?,
        }
        let mut pins = self.pins()?;
        match pins.remove(name) {
            true => write(&self.dir.join(PINS), &json!(pins)),
            false => Ok(()),
        }
    }

    /// Notes whether `name` is to stay in memory.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::Io`].
    pub fn pin(&self, name: &str, pinned: bool) -> Result<()> {
        self.exists(name)?;
        let _lock = self.lock()?;
        let mut pins = self.pins()?;
        let changed = if pinned { pins.insert(name.to_owned()) } else { pins.remove(name) };
        if changed { write(&self.dir.join(PINS), &json!(pins)) } else { Ok(()) }
    }

    /// The names that are to stay in memory.
    ///
    /// # Errors
    /// [`Error::Io`] when the note of them cannot be read.
    pub fn pins(&self) -> Result<BTreeSet<String>> {
        let path = self.dir.join(PINS);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| Error::io("parse", &path, error.into()))
    }

    /// Every adapter, by name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn list(&self) -> Result<Vec<Stored>> {
        let pins = self.pins()?;
        let entries = fs::read_dir(&self.dir).map_err(|error| Error::io("list", &self.dir, error))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut stored: Vec<Stored> = names
            .filter(|name| self.exists(name).is_ok())
            .map(|name| Stored { version: self.version(&name), pinned: pins.contains(&name), name })
            .collect();
        stored.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(stored)
    }

    fn version(&self, name: &str) -> Option<String> {
        let note = fs::read(self.dir.join(name).join(BASE_FILE)).ok()?;
        let note: Value = serde_json::from_slice(&note).ok()?;
        note.get("version")?.as_str().map(ToOwned::to_owned)
    }

    fn exists(&self, name: &str) -> Result<()> {
        match is_name(name) && self.dir.join(name).join(CONFIG_FILE).is_file() {
            true => Ok(()),
            false => Err(Error::NoAdapter(name.to_owned())),
        }
    }

    /// Held while the folder is changed; released when dropped.
    fn lock(&self) -> Result<File> {
        let path = self.dir.join(LOCK);
        let file = File::create(&path).map_err(|error| Error::io("open", &path, error))?;
        file.lock().map_err(|error| Error::io("lock", &path, error))?;
        Ok(file)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already where it became a version.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Moves a file or folder, durably.
fn rename(from: &Path, to: &Path) -> Result<()> {
    let synced = |path: &Path| File::open(path)?.sync_all();
    fs::rename(from, to)
        .and_then(|()| to.parent().map_or(Ok(()), synced))
        .map_err(|error| Error::io("move", from, error))
}

/// Writes a file whole or not at all.
fn write(path: &Path, content: &Value) -> Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, content.to_string())
        .and_then(|()| File::open(&part)?.sync_all())
        .map_err(|error| Error::io("write", &part, error))?;
    rename(&part, path)
}
