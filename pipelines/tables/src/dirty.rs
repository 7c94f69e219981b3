//! The durable set of windows whose stored rows may differ from their SQL in batch.
//!
//! A window gets in with the epoch that saw a late row, a correction or an import, and out once it has been
//! recomputed. One that is not closed yet waits: the stream will write it first, perhaps wrongly.

use std::{collections::BTreeMap, path::Path};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::Error;

/// One window of one user in one table, microseconds UTC, end exclusive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirtyWindow {
    /// Table.
    pub table: String,
    /// Whose rows.
    pub user_id: String,
    /// Start of the window.
    pub start_us: i64,
    /// End of the window.
    pub end_us: i64,
}

/// A correction or retraction whose windows are not known yet: its target may not have come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PendingCorrection {
    /// Whose event.
    pub user_id: String,
    /// Id of the event it is about.
    pub target: String,
}

/// The set, on disk.
pub struct Dirty {
    db: Database,
    windows: Keyspace,
    corrections: Keyspace,
    meta: Keyspace,
}

impl std::fmt::Debug for Dirty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dirty").finish_non_exhaustive()
    }
}

impl Dirty {
    /// Opens the set in `folder`, making it when absent.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        crave_flow::finish_replacing(folder).map_err(Error::file(folder, "ending a replacement"))?;
        Self::open_in(folder)
    }

    fn open_in(folder: &Path) -> Result<Self, Error> {
        let db = Database::builder(folder).worker_threads(1).open()?;
        let windows = db.keyspace("windows", KeyspaceCreateOptions::default)?;
        let meta = db.keyspace("meta", KeyspaceCreateOptions::default)?;
        let corrections = db.keyspace("corrections", KeyspaceCreateOptions::default)?;
        Ok(Self { db, windows, corrections, meta })
    }

    /// Adds what an epoch made dirty, in one durable step. Adding it twice changes nothing.
    ///
    /// # Errors
    /// When the disk fails; nothing is added then.
    pub fn add(
        &self,
        epoch: u64,
        windows: impl IntoIterator<Item = DirtyWindow>,
        corrections: impl IntoIterator<Item = PendingCorrection>,
    ) -> Result<(), Error> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for window in windows {
            batch.insert(&self.windows, encode(&window), []);
        }
        for correction in corrections {
            batch.insert(&self.corrections, encode_correction(&correction), []);
        }
        batch.insert(&self.meta, "epoch", epoch.to_be_bytes());
        Ok(batch.commit()?)
    }

    /// Leaves no byte of a person in the set's folder (PR-1), which nothing else may have open: it is written anew. Says how
    /// much of it was theirs.
    ///
    /// # Errors
    /// When the disk fails; then the set is as it was.
    pub fn erase(folder: &Path, user: &str) -> Result<u64, Error> {
        drop(Self::open(folder)?);
        let failed = |doing| Error::file(folder, doing);
        let next = crave_flow::begin_replacing(folder).map_err(failed("ending a replacement"))?;
        let mut erased = 0;
        {
            let (old, new) = (Self::open_in(folder)?, Self::open_in(&next)?);
            let mut batch = new.db.batch().durability(Some(PersistMode::SyncAll));
            for guard in old.windows.iter() {
                let key = guard.key()?;
                match decode(&key).is_some_and(|window| window.user_id == user) {
                    true => erased += 1,
                    false => batch.insert(&new.windows, key.to_vec(), []),
                }
            }
            for guard in old.corrections.iter() {
                let key = guard.key()?;
                match decode_correction(&key).is_some_and(|correction| correction.user_id == user) {
                    true => erased += 1,
                    false => batch.insert(&new.corrections, key.to_vec(), []),
                }
            }
            for guard in old.meta.iter() {
                let (key, value) = guard.into_inner()?;
                batch.insert(&new.meta, key.to_vec(), value.to_vec());
            }
            batch.commit()?;
        }
        crave_flow::replace_folder(folder).map_err(failed("replacing"))?;
        Ok(erased)
    }

    /// Corrections that wait for their windows to be worked out, at most `limit`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn corrections(&self, limit: usize) -> Result<Vec<PendingCorrection>, Error> {
        let mut pending = Vec::new();
        for guard in self.corrections.iter().take(limit) {
            pending.extend(guard.key().map(|key| decode_correction(&key))?);
        }
        Ok(pending)
    }

    /// Replaces corrections by the windows they touch, in one durable step.
    ///
    /// # Errors
    /// When the disk fails; the corrections are worked out again then.
    pub fn resolve(&self, corrections: &[PendingCorrection], windows: &[DirtyWindow]) -> Result<(), Error> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for correction in corrections {
            batch.remove(&self.corrections, encode_correction(correction));
        }
        for window in windows {
            batch.insert(&self.windows, encode(window), []);
        }
        Ok(batch.commit()?)
    }

    /// The last epoch that was added; 0 before the first.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn epoch(&self) -> Result<u64, Error> {
        let stored = self.meta.get("epoch")?;
        Ok(stored.and_then(|v| v.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Windows of `table` that are closed at `watermark_us`, at most `limit`, ordered by user.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn closed(&self, table: &str, watermark_us: i64, limit: usize) -> Result<Vec<DirtyWindow>, Error> {
        let mut closed = Vec::new();
        for guard in self.windows.prefix([table.as_bytes(), &[0]].concat()) {
            let window = guard.key().map(|key| decode(&key))?;
            closed.extend(window.filter(|w| w.end_us <= watermark_us));
            if closed.len() >= limit {
                break;
            }
        }
        Ok(closed)
    }

    /// Takes windows out, durably, once their table holds the recomputed rows; puts others in, in the same step.
    ///
    /// # Errors
    /// When the disk fails; they are recomputed once more then, which does no harm.
    pub fn replace(&self, done: &[DirtyWindow], later: &[DirtyWindow]) -> Result<(), Error> {
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncData));
        for window in done {
            batch.remove(&self.windows, encode(window));
        }
        for window in later {
            batch.insert(&self.windows, encode(window), []);
        }
        Ok(batch.commit()?)
    }

    /// Every window of `table`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn of(&self, table: &str) -> Result<Vec<DirtyWindow>, Error> {
        self.closed(table, i64::MAX, usize::MAX)
    }

    /// Windows by table: (closed and waiting for repair, not closed yet).
    ///
    /// # Errors
    /// When the disk fails.
    pub fn counts(&self, watermark_us: impl Fn(&str) -> i64) -> Result<BTreeMap<String, (u64, u64)>, Error> {
        let mut counts = BTreeMap::<String, (u64, u64)>::new();
        for guard in self.windows.iter() {
            let Some(window) = guard.key().map(|key| decode(&key))? else { continue };
            let closed = window.end_us <= watermark_us(&window.table);
            let count = counts.entry(window.table).or_default();
            if closed { count.0 += 1 } else { count.1 += 1 }
        }
        Ok(counts)
    }
}

/// `table 0 user 0 start end`; table and user ids hold no NUL. Times are shifted so that they sort.
fn encode(window: &DirtyWindow) -> Vec<u8> {
    let time = |us: i64| (us ^ i64::MIN).to_be_bytes();
    let (start, end) = (time(window.start_us), time(window.end_us));
    [window.table.as_bytes(), &[0], window.user_id.as_bytes(), &[0], &start, &end].concat()
}

fn encode_correction(correction: &PendingCorrection) -> Vec<u8> {
    [correction.user_id.as_bytes(), &[0], correction.target.as_bytes()].concat()
}

fn decode_correction(key: &[u8]) -> Option<PendingCorrection> {
    let (user_id, target) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    Some(PendingCorrection { user_id: user_id.into(), target: target.into() })
}

fn decode(key: &[u8]) -> Option<DirtyWindow> {
    let (names, times) = key.split_at_checked(key.len().checked_sub(16)?)?;
    let mut names = names.split(|&b| b == 0);
    let mut name = || String::from_utf8(names.next()?.to_vec()).ok();
    let (table, user_id) = (name()?, name()?);
    let time = |at: usize| Some(i64::from_be_bytes(times.get(at..at + 8)?.try_into().ok()?) ^ i64::MIN);
    Some(DirtyWindow { table, user_id, start_us: time(0)?, end_us: time(8)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(table: &str, user: &str, end_us: i64) -> DirtyWindow {
        DirtyWindow { table: table.into(), user_id: user.into(), start_us: end_us - 10, end_us }
    }

    #[test]
    fn windows_wait_until_they_close_and_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let dirty = Dirty::open(folder.path()).unwrap();
        let all = [window("daily", "a", -5), window("daily", "b", 20), window("recency", "a", 5)];
        dirty.add(3, all.clone(), []).unwrap();
        drop(dirty);
        let dirty = Dirty::open(folder.path()).unwrap();
        assert_eq!(dirty.epoch().unwrap(), 3);
        assert_eq!(dirty.closed("daily", 10, 9).unwrap(), all[..1]);
        assert_eq!(dirty.closed("daily", 20, 9).unwrap(), all[..2]);
        assert_eq!(dirty.counts(|_| 10).unwrap()["daily"], (1, 1));
        dirty.replace(&all[..1], &[window("daily", "c", 15)]).unwrap();
        assert_eq!(dirty.closed("daily", 20, 9).unwrap(), [all[1].clone(), window("daily", "c", 15)]);
        assert_eq!(dirty.of("recency").unwrap(), all[2..]);
    }

    #[test]
    fn what_is_erased_leaves_no_byte() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("dirty");
        let dirty = Dirty::open(&folder).unwrap();
        let correction = |user: &str| PendingCorrection { user_id: user.into(), target: "t".into() };
        let windows = [window("daily", "ada-of-ghent", 5), window("daily", "bob", 5)];
        dirty.add(3, windows.clone(), [correction("ada-of-ghent"), correction("bob")]).unwrap();
        drop(dirty);
        assert_eq!(Dirty::erase(&folder, "ada-of-ghent").unwrap(), 2);
        assert_eq!(Dirty::erase(&folder, "ada-of-ghent").unwrap(), 0);
        let mut paths = vec![home.path().to_owned()];
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                paths.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                let bytes = std::fs::read(&path).unwrap();
                assert!(!bytes.windows(12).any(|w| w == b"ada-of-ghent"), "{}", path.display());
            }
        }
        let dirty = Dirty::open(&folder).unwrap();
        assert_eq!((dirty.epoch().unwrap(), dirty.of("daily").unwrap()), (3, windows[1..].to_vec()));
        assert_eq!(dirty.corrections(9).unwrap(), [correction("bob")]);
    }

    #[test]
    fn a_correction_becomes_windows_in_one_step() {
        let folder = tempfile::tempdir().unwrap();
        let dirty = Dirty::open(folder.path()).unwrap();
        let correction = PendingCorrection { user_id: "a".into(), target: "t".into() };
        dirty.add(1, [], [correction.clone(), correction.clone()]).unwrap();
        assert_eq!(dirty.corrections(9).unwrap(), std::slice::from_ref(&correction));
        dirty.resolve(std::slice::from_ref(&correction), &[window("daily", "a", 5)]).unwrap();
        assert!(dirty.corrections(9).unwrap().is_empty());
        assert_eq!(dirty.closed("daily", 5, 9).unwrap().len(), 1);
    }
}
