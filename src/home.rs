//! The data folder: what lies where, and the lock that one process holds on it.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// A data folder (`--home`).
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// Makes the folder, readable by its owner alone, when it is absent.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("{}: cannot be made", path.display()))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                .with_context(|| format!("{}: cannot be made private", path.display()))?;
        }
        Ok(Self(path.canonicalize()?))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The local id index of a log that is kept in Kafka.
    pub(crate) fn log_kafka_ids(&self) -> PathBuf {
        self.0.join("log-kafka-ids")
    }

    pub(crate) fn lake(&self) -> PathBuf {
        self.0.join("lake")
    }

    pub(crate) fn dirty(&self) -> PathBuf {
        self.0.join("dirty")
    }

    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    pub(crate) fn accounts(&self) -> PathBuf {
        self.0.join("accounts.sqlite")
    }

    /// The index of memories.
    pub(crate) fn memories(&self) -> PathBuf {
        self.0.join("memories")
    }

    /// The citations that answers gave.
    pub(crate) fn insights(&self) -> PathBuf {
        self.0.join("insights.sqlite")
    }

    /// Where models lie: `$CRAVE_MODELS`, or in this home.
    pub(crate) fn models(&self) -> PathBuf {
        std::env::var_os("CRAVE_MODELS").map_or_else(|| self.0.join("models"), PathBuf::from)
    }

    /// Where unfinished imports note how far they are.
    pub(crate) fn imports(&self) -> anyhow::Result<PathBuf> {
        let path = self.0.join("imports");
        fs::create_dir_all(&path).with_context(|| format!("{}: cannot be made", path.display()))?;
        Ok(path)
    }

    /// Takes the lock; it is given back when the file is dropped or the process ends, however it ends.
    pub(crate) fn lock(&self) -> anyhow::Result<File> {
        let path = self.0.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => anyhow::bail!(
                "{}: another crave process has this home; stop it first, or use its HTTP API",
                self.0.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{}: cannot be locked", path.display()))
            }
        }
    }
}
