//! The data folder: what lies where, and the lock that one process holds on it.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::config::Shared;

/// A data folder (`--home`), and what it shares with others.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    shared: Shared,
}

impl Home {
    /// Makes the folder, readable by its owner alone, when it is absent.
    pub(crate) fn open(path: &Path, shared: &Shared) -> anyhow::Result<Self> {
        private_folder(path)?;
        Ok(Self { folder: path.canonicalize()?, shared: shared.clone() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Where a server of this home listens for the commands of the machine's operator.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("crave.sock")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The local id index of a log that is kept in Kafka.
    pub(crate) fn log_kafka_ids(&self) -> PathBuf {
        self.folder.join("log-kafka-ids")
    }

    pub(crate) fn lake(&self) -> PathBuf {
        self.or_shared("lake", &self.shared.lake)
    }

    pub(crate) fn dirty(&self) -> PathBuf {
        self.folder.join("dirty")
    }

    /// What the last verify found.
    pub(crate) fn verified(&self) -> PathBuf {
        self.folder.join("verified.json")
    }

    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.folder.join("checkpoints")
    }

    pub(crate) fn accounts(&self) -> PathBuf {
        self.or_shared("accounts.sqlite", &self.shared.accounts)
    }

    fn or_shared(&self, name: &str, shared: &str) -> PathBuf {
        if shared.is_empty() { self.folder.join(name) } else { shared.into() }
    }

    /// Erasures that were asked for.
    pub(crate) fn erasures(&self) -> PathBuf {
        self.folder.join("erasures.sqlite")
    }

    /// The index of memories.
    pub(crate) fn memories(&self) -> PathBuf {
        self.folder.join("memories")
    }

    /// The citations that answers gave.
    pub(crate) fn insights(&self) -> PathBuf {
        self.folder.join("insights.sqlite")
    }

    /// What people uploaded.
    pub(crate) fn documents(&self) -> anyhow::Result<PathBuf> {
        let path = self.folder.join("documents");
        fs::create_dir_all(&path).with_context(|| format!("{}: cannot be made", path.display()))?;
        Ok(path)
    }

    /// Conversations, and what people said of themselves.
    pub(crate) fn conversations(&self) -> PathBuf {
        self.folder.join("conversations.sqlite")
    }

    /// Where models lie: `$CRAVE_MODELS`, or in this home.
    pub(crate) fn models(&self) -> PathBuf {
        std::env::var_os("CRAVE_MODELS").map_or_else(|| self.folder.join("models"), PathBuf::from)
    }

    /// Where unfinished imports note how far they are.
    pub(crate) fn imports(&self) -> anyhow::Result<PathBuf> {
        let path = self.folder.join("imports");
        fs::create_dir_all(&path).with_context(|| format!("{}: cannot be made", path.display()))?;
        Ok(path)
    }

    /// Takes the lock; it is given back when the file is dropped or the process ends, however it ends.
    pub(crate) fn lock(&self) -> anyhow::Result<File> {
        lock(&self.folder.join("lock"))?.with_context(|| {
            format!("{}: another crave process has this home; stop it first", self.folder.display())
        })
    }

    /// Takes the lock of the tables' one writer.
    pub(crate) fn lock_lake(&self) -> anyhow::Result<File> {
        let lake = self.lake();
        private_folder(&lake)?;
        lock(&lake.join(".writer"))?
            .with_context(|| format!("{}: another crave process writes these tables", lake.display()))
    }
}

fn private_folder(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("{}: cannot be made", path.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("{}: cannot be made private", path.display()))?;
    }
    Ok(())
}

/// `None` when another process has it.
fn lock(path: &Path) -> anyhow::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| format!("{}: cannot be opened", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{}: cannot be locked", path.display()))
        }
    }
}
