//! The local copy of the changelogs: ids, positions, epochs, and how far of each changelog it holds.
//!
//! Never synced: a crash of the machine takes it back to an earlier state of all its parts at once, from
//! where the changelogs are read again.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::change::Change;
use crate::{
    Error,
    log::{IdEntry, IdKey, Offset},
};

pub(super) struct Index {
    db: Database,
    ids: Keyspace,
    meta: Keyspace,
}

impl Index {
    /// Opens the index in `folder`; one that belongs to another cluster or prefix is made anew.
    pub(super) fn open(folder: &Path, identity: &str) -> Result<Self, Error> {
        let index = Self::open_any(folder)?;
        match index.meta.get("identity")? {
            Some(found) if *found == *identity.as_bytes() => return Ok(index),
            Some(_) => {
                tracing::warn!("the id index is of another Kafka log; it is built again");
                drop(index);
                std::fs::remove_dir_all(folder).map_err(fjall::Error::Io)?;
            }
            None => drop(index),
        }
        let index = Self::open_any(folder)?;
        index.meta.insert("identity", identity)?;
        Ok(index)
    }

    fn open_any(folder: &Path) -> Result<Self, Error> {
        let db = Database::builder(folder).worker_threads(1).open()?;
        let ids = db.keyspace("ids", KeyspaceCreateOptions::default)?;
        let meta = db.keyspace("meta", KeyspaceCreateOptions::default)?;
        Ok(Self { db, ids, meta })
    }

    pub(super) fn size(&self) -> (u64, usize) {
        (self.ids.disk_space(), self.ids.approximate_len())
    }

    pub(super) fn lookup(&self, keys: &[IdKey]) -> Result<Vec<Option<IdEntry>>, Error> {
        let get = |key: &IdKey| Ok(self.ids.get(key.as_bytes())?.and_then(|v| IdEntry::decode(&v)));
        keys.iter().map(get).collect()
    }

    pub(super) fn position(&self, partition: u32) -> Result<Offset, Error> {
        Ok(self.number(&position_key(partition))?.unwrap_or_default())
    }

    pub(super) fn epoch(&self, writer: &str) -> Result<Option<u64>, Error> {
        self.number(&epoch_key(writer))
    }

    /// The offset of the changelog that is to be applied next.
    pub(super) fn applied(&self, changelog: &str, partition: u32) -> Result<Offset, Error> {
        Ok(self.number(&applied_key(changelog, partition))?.unwrap_or_default())
    }

    /// Takes over changes of a changelog's partition, up to below `applied`, all at once.
    pub(super) fn apply(
        &self,
        changelog: &str,
        partition: u32,
        changes: impl IntoIterator<Item = Change>,
        applied: Offset,
    ) -> Result<(), Error> {
        let mut batch = self.db.batch();
        for change in changes {
            match change {
                Change::Entry(key, entry) => batch.insert(&self.ids, key.as_bytes(), entry.encode()),
                Change::Position(offset) => {
                    batch.insert(&self.meta, position_key(partition), offset.to_be_bytes());
                }
                Change::Epoch(writer, epoch) => {
                    batch.insert(&self.meta, epoch_key(&writer), epoch.to_be_bytes());
                }
            }
        }
        batch.insert(&self.meta, applied_key(changelog, partition), applied.to_be_bytes());
        Ok(batch.commit()?)
    }

    fn number(&self, key: &[u8]) -> Result<Option<u64>, Error> {
        let stored = self.meta.get(key)?;
        Ok(stored.and_then(|v| v.as_ref().try_into().ok()).map(u64::from_be_bytes))
    }
}

fn position_key(partition: u32) -> Vec<u8> {
    [b"position/".as_slice(), &partition.to_be_bytes()].concat()
}

fn epoch_key(writer: &str) -> Vec<u8> {
    [b"writer/", writer.as_bytes()].concat()
}

fn applied_key(changelog: &str, partition: u32) -> Vec<u8> {
    [b"applied/", changelog.as_bytes(), &partition.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_is_told_and_forgets_another_clusters() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path(), "a").unwrap();
        index.apply("log", 1, [Change::Position(7), Change::Epoch("w".into(), 3)], 12).unwrap();
        drop(index);
        let index = Index::open(folder.path(), "a").unwrap();
        assert_eq!(
            (index.position(1).unwrap(), index.epoch("w").unwrap(), index.applied("log", 1).unwrap()),
            (7, Some(3), 12)
        );
        assert_eq!((index.position(0).unwrap(), index.applied("log", 0).unwrap()), (0, 0));
        drop(index);
        let index = Index::open(folder.path(), "b").unwrap();
        assert_eq!((index.position(1).unwrap(), index.epoch("w").unwrap()), (0, None));
    }
}
