//! The catalogue of a folder: collections lie in `gen-NNNNNNNN`, `CURRENT` names the one in use, `NEXT` the one on its
//! way.
//!
//! A new collection is filled and flushed before either name is moved to it, in one rename; whatever else lies there at
//! the next opening is a remainder of a crash and is removed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::super::{Catalogue, Collection, Held};
use super::generation::{self, sync_dir};
use super::{Edge, WAL_BYTES_MAX, blocking};
use crate::embed::Model;
use crate::{Error, Result};

const CURRENT: &str = "CURRENT";
const NEXT: &str = "NEXT";
const PREFIX: &str = "gen-";

/// A folder with collections, for one process at a time.
#[derive(Clone)]
pub(crate) struct Folder {
    dir: PathBuf,
    /// Each collection holds it too, so that it is held as long as anybody still reads.
    lock: Arc<File>,
}

impl Folder {
    /// Makes the folder where it is not there, and locks it.
    pub(crate) async fn lock(dir: &Path) -> Result<Self> {
        let dir = dir.to_owned();
        blocking(move || {
            fs::create_dir_all(&dir).map_err(|error| Error::io("create", &dir, error))?;
            Ok(Self { lock: Arc::new(lock(&dir)?), dir })
        })
        .await
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(name(number))
    }

    fn load(&self, number: u64) -> Result<Edge> {
        let path = self.path(number);
        let model = generation::model(&path)?;
        let shard = generation::load(&path, &model)?;
        Edge::start(path, model, shard, Arc::clone(&self.lock), WAL_BYTES_MAX)
    }

    fn make(&self, number: u64, model: &Model) -> Result<Edge> {
        let path = self.path(number);
        let shard = generation::create(&path, model)?;
        Edge::start(path, model.clone(), shard, Arc::clone(&self.lock), WAL_BYTES_MAX)
    }

    /// Points a name at a collection in one rename.
    fn set(&self, which: &str, number: u64) -> Result<()> {
        let (target, new) = (self.dir.join(which), self.dir.join(format!("{which}.new")));
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(name(number).as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &target)
        });
        written.map_err(|error| Error::io("write", target, error))?;
        sync_dir(&self.dir)
    }

    /// The collection that a name names.
    fn named(&self, which: &str) -> Result<Option<u64>> {
        let path = self.dir.join(which);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path, error)),
        };
        let number = text.trim().strip_prefix(PREFIX).and_then(|number| number.parse().ok());
        number.map(Some).ok_or_else(|| Error::IndexBroken {
            path: self.dir.clone(),
            why: format!("{which} does not name a generation"),
        })
    }

    fn open_all(&self, model: &Model) -> Result<Held> {
        let Some(current) = self.named(CURRENT)? else {
            self.forget_next()?;
            let first = self.make(1, model)?;
            self.set(CURRENT, 1)?;
            return Ok(Held::first(1, Arc::new(first)));
        };
        let next = self.named(NEXT)?.filter(|next| *next != current);
        self.remove_others(&[Some(current), next])?;
        let next = match next.map(|number| (number, self.load(number))) {
            Some((number, Ok(next))) => Some((number, Arc::new(next) as Arc<dyn Collection>)),
            Some((_, Err(error))) => {
                // Nothing is lost: it is begun again from the one in use.
                tracing::warn!(%error, "what was embedded anew so far cannot be used");
                self.forget_next()?;
                None
            }
            None => None,
        };
        Ok(Held { current: (current, Arc::new(self.load(current)?)), next })
    }

    fn forget_next(&self) -> Result<()> {
        let path = self.dir.join(NEXT);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", path, error))
            }
            _ => sync_dir(&self.dir),
        }
    }

    fn remove_others(&self, keep: &[Option<u64>]) -> Result<()> {
        let keep: Vec<String> = keep.iter().flatten().map(|number| name(*number)).collect();
        let entries = fs::read_dir(&self.dir).map_err(|error| Error::io("read", &self.dir, error))?;
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let found = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if found.starts_with(PREFIX) && !keep.iter().any(|kept| kept == found) {
                fs::remove_dir_all(&path).map_err(|error| Error::io("remove", path, error))?;
            }
        }
        Ok(())
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let folder = self.clone();
        blocking(move || work(&folder)).await
    }
}

#[async_trait]
impl Catalogue for Folder {
    async fn open(&self, model: &Model) -> Result<Held> {
        let model = model.clone();
        self.run(move |folder| folder.open_all(&model)).await
    }

    async fn create(&self, number: u64, model: &Model) -> Result<Arc<dyn Collection>> {
        let model = model.clone();
        let made = self.run(move |folder| folder.make(number, &model)).await?;
        Ok(Arc::new(made))
    }

    async fn set_current(&self, number: u64) -> Result<()> {
        self.run(move |folder| folder.set(CURRENT, number)).await
    }

    async fn set_next(&self, number: Option<u64>) -> Result<()> {
        self.run(move |folder| number.map_or_else(|| folder.forget_next(), |number| folder.set(NEXT, number)))
            .await
    }

    async fn promote(&self, number: u64) -> Result<()> {
        self.run(move |folder| {
            if folder.named(NEXT)? != Some(number) {
                folder.set(NEXT, number)?;
            }
            let (next, current) = (folder.dir.join(NEXT), folder.dir.join(CURRENT));
            fs::rename(next, &current).map_err(|error| Error::io("write", current, error))?;
            sync_dir(&folder.dir)
        })
        .await
    }

    async fn remove(&self, number: u64) -> Result<()> {
        self.run(move |folder| {
            let path = folder.path(number);
            fs::remove_dir_all(&path).map_err(|error| Error::io("remove", path, error))?;
            sync_dir(&folder.dir)
        })
        .await
    }
}

fn name(number: u64) -> String {
    format!("{PREFIX}{number:08}")
}

/// One process at a time: opening clears unfinished generations, which another process might be writing.
fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(".lock");
    let file = File::create(&path).map_err(|error| Error::io("create", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse { path: dir.to_owned() }),
        Err(fs::TryLockError::Error(error)) => Err(Error::io("lock", path, error)),
    }
}
