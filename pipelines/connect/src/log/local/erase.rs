//! Leaves no byte of a person in the log's folder (PR-1).
//!
//! The store keeps what was overwritten in its journal and in old segments for as long as it likes, so the log is written
//! anew beside itself and swapped. A record of the person is left empty at its place, for offsets count by it, and readers
//! pass over it. Their ids stay as [`IdState::Erased`], without the hash of what they named, so that a device that syncs again brings nothing back
//! (IN-1): eight bytes of a hash of the person, and a random id.

use std::path::Path;

use crave_schemas::UserId;
use fjall::{Database, Keyspace, PersistMode};

use super::{LocalLog, LocalOptions, Spaces, batch};
use crate::{
    Error,
    log::{IdEntry, IdKey, IdState, Record, Topic},
};

/// Bytes copied in one step.
const STEP_BYTES: usize = 4 << 20;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasedLog {
    /// Records of all topics.
    pub records: u64,
    /// Ids that are kept as erased.
    pub ids: u64,
}

impl LocalLog {
    /// Erases a person's records and what their ids say of them. Nothing else may have the folder open.
    ///
    /// # Errors
    /// What the store says; then the log is as it was: call it again.
    pub fn erase(folder: &Path, options: LocalOptions, user: &UserId) -> Result<ErasedLog, Error> {
        // Recovers and checks it as ever, and makes the spaces where it is new.
        drop(Self::open(folder, options)?);
        let io = |error| Error::Store(fjall::Error::Io(error));
        let next = crave_flow::begin_replacing(folder).map_err(io)?;
        let erased = {
            let (old, new) = (Spaces::open(folder)?, Spaces::open(&next)?);
            let mut erased = ErasedLog::default();
            for (topic, (from, to)) in Topic::ALL.into_iter().zip(old.topics.iter().zip(&new.topics)) {
                copy(&new.db, from, to, |key, value| {
                    let offset = batch::offset_of(key).unwrap_or_default();
                    let corrupt = Error::Corrupt { topic: topic.as_str(), partition: 0, offset };
                    let mut records = batch::decode(value).ok_or(corrupt)?;
                    let mut touched = 0;
                    for record in records.iter_mut().filter(|record| record.key == user.as_str()) {
                        *record = Record { key: String::new(), value: Vec::new() };
                        touched += 1;
                    }
                    erased.records += touched;
                    Ok((touched > 0).then(|| batch::encode(records.iter())))
                })?;
            }
            let prefix = IdKey::prefix(user);
            copy(&new.db, &old.ids, &new.ids, |key, _| {
                let theirs = key.starts_with(&prefix);
                erased.ids += u64::from(theirs);
                let (state, body) = (IdState::Erased, [0; 16]);
                let entry = IdEntry { state, body, offset: 0, event_time_us: 0, pending: false };
                Ok(theirs.then(|| entry.encode().to_vec()))
            })?;
            copy(&new.db, &old.meta, &new.meta, |_, _| Ok(None))?;
            new.db.persist(PersistMode::SyncAll)?;
            erased
        };
        crave_flow::failpoint("erasing: log written").map_err(|error| io(std::io::Error::other(error)))?;
        crave_flow::replace_folder(folder).map_err(io)?;
        Ok(erased)
    }
}

/// Whether a record was erased: a heartbeat has no key, but says something.
pub(super) fn is_erased(record: &Record) -> bool {
    record.key.is_empty() && record.value.is_empty()
}

/// Copies a key space, each value as `change` makes it (`None`: as it is).
fn copy(
    db: &Database,
    from: &Keyspace,
    to: &Keyspace,
    mut change: impl FnMut(&[u8], &[u8]) -> Result<Option<Vec<u8>>, Error>,
) -> Result<(), Error> {
    let (mut step, mut bytes) = (db.batch(), 0);
    for guard in from.iter() {
        let (key, value) = guard.into_inner()?;
        let changed = change(&key, &value)?;
        let value = changed.unwrap_or_else(|| value.to_vec());
        bytes += key.len() + value.len();
        step.insert(to, key.to_vec(), value);
        if bytes >= STEP_BYTES {
            std::mem::replace(&mut step, db.batch()).commit()?;
            bytes = 0;
        }
    }
    Ok(step.commit()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crave_schemas::EventId;

    use super::*;
    use crate::log::{Admission, EventLog};

    const OPTIONS: LocalOptions = LocalOptions { partitions: 1, disk_bytes_max: u64::MAX };

    fn record(key: &str, value: &str) -> Record {
        Record { key: key.into(), value: value.into() }
    }

    async fn read(log: &LocalLog, topic: Topic, from: u64) -> Vec<(u64, String)> {
        let read = log.read(topic, 0, from, 1, Duration::ZERO).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        read.into_iter().map(|stored| (stored.offset, text(stored.record.value))).collect()
    }

    #[tokio::test]
    async fn no_byte_is_left_and_others_keep_theirs_and_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("log");
        let (ada, bob) = (UserId::new("ada-of-ghent").unwrap(), UserId::new("bob").unwrap());
        let id = |user: &UserId| IdKey::new(user, EventId::derived(user, b"one"));
        {
            let log = LocalLog::open(&folder, OPTIONS).unwrap();
            for topic in Topic::ALL {
                let words =
                    [record("ada-of-ghent", "secret words"), record("bob", "mine"), record("", "beat")];
                log.append(topic, words.map(|record| (0, record)).into()).await.unwrap();
                log.append(topic, vec![(0, record("ada-of-ghent", "secret words"))]).await.unwrap();
            }
            let entry = IdEntry {
                state: IdState::Admitted,
                body: [7; 16],
                offset: 1,
                event_time_us: 9,
                pending: false,
            };
            let ids = vec![(id(&ada), entry), (id(&bob), entry)];
            log.admit(0, Admission { records: Vec::new(), ids, position: 4 }).await.unwrap();
            let once = vec![(0, record("bob", "once"))];
            log.append_once("job/table", 7, Topic::Memories, once).await.unwrap();
        }
        assert_eq!(LocalLog::erase(&folder, OPTIONS, &ada).unwrap(), ErasedLog { records: 8, ids: 1 });
        assert_eq!(LocalLog::erase(&folder, OPTIONS, &ada).unwrap(), ErasedLog { records: 0, ids: 1 });
        let mut files = vec![folder.clone()];
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            for canary in [b"secret words".as_slice(), b"ada-of-ghent"] {
                assert!(!bytes.windows(canary.len()).any(|w| w == canary), "{}", path.display());
            }
        }
        let log = LocalLog::open(&folder, OPTIONS).unwrap();
        let (mine, beat) = ((1, "mine".to_owned()), (2, "beat".to_owned()));
        assert_eq!(read(&log, Topic::Events, 0).await, [mine, beat.clone()]);
        assert_eq!(read(&log, Topic::Events, 2).await, [beat]);
        assert!(read(&log, Topic::Events, 3).await.is_empty(), "erased to the end");
        assert_eq!(log.bounds(Topic::Events, 0).await.unwrap(), 0..4);
        assert_eq!(log.position(0).await.unwrap(), 4);
        let states = log.lookup(&[id(&ada), id(&bob)]).unwrap();
        let states: Vec<_> = states.into_iter().map(|entry| entry.map(|e| (e.state, e.body))).collect();
        assert_eq!(states, [Some((IdState::Erased, [0; 16])), Some((IdState::Admitted, [7; 16]))]);
        // A reader behind an erased end waits, and gets what comes.
        let log = std::sync::Arc::new(log);
        let waits = tokio::spawn({
            let log = std::sync::Arc::clone(&log);
            async move { log.read(Topic::Events, 0, 3, 1, Duration::from_secs(20)).await.unwrap() }
        });
        log.append(Topic::Events, vec![(0, record("bob", "later"))]).await.unwrap();
        assert_eq!(waits.await.unwrap()[0].offset, 4);
        log.append_once("job/table", 7, Topic::Memories, vec![(0, record("bob", "twice"))]).await.unwrap();
        assert_eq!(log.bounds(Topic::Memories, 0).await.unwrap(), 0..5, "an epoch is known still");
    }
}
