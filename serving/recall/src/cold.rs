//! The cold index: what happened long ago, on disk only, in small files of one person each.
//!
//! A person's files lie in `cold/HASH/NNNNNNNN.seg`, where `HASH` is made of their id. A search reads them from start to
//! end ([`segment`] has the format): vectors as signed bytes, words as the hot index has them, no graph; texts are
//! deflated and read only of what is found. Candidates come out with their vectors, so that the same code scores them.
//!
//! - **Moving** ([`Cold::begin`], [`Cold::finish`]): the file is written, synced and renamed to `.moving`; then the hot
//!   index deletes; then it is renamed to `.seg`. A crash in between leaves a `.moving` file, whose memories are deleted
//!   from the hot index once more ([`Cold::pending`]). Meanwhile a memory is in both, which readers see through, never
//!   in neither.
//! - **Deleting and superseding** write the file anew without the memory and rename it over the old one: nothing of it is
//!   left, not even a tombstone; that lies in the hot index.
//! - **Erasing** removes the person's folder.
//! - **Bounds**: a person's bytes and all bytes have a limit ([`ColdOptions`]). Over it the least important go first, and of
//!   all people those with most give ([`decide`]). Episodic peaks and pinned memories never go, so they alone may exceed it.
//!
//! A damaged file is an error of that person's searches and writes, which names the file; other people's go on.

mod decide;
mod entry;
mod files;
pub mod fuzz;
mod quantise;
mod search;
mod segment;
mod upkeep;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crave_schemas::UserId;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

pub(crate) use entry::{Entry, hash_of};
pub(crate) use search::Sought;
pub(crate) use upkeep::Place;

use crate::lexical::WordStats;
use crate::status::Cold as Totals;
use crate::{Error, Memory, Result};
use files::Info;
use segment::Segment;

/// What moves to the cold index, and how large it may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdOptions {
    /// Where its files lie.
    pub folder: PathBuf,
    /// What is older moves, a calendar month at a time.
    pub retention: Duration,
    /// Most bytes of a person.
    pub user_bytes_max: u64,
    /// Most bytes of all people.
    pub bytes_max: u64,
}

impl ColdOptions {
    /// 400 days, so that the same season of last year is hot; 64 MiB a person (about 100,000 notes); 64 GiB in all.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            retention: Duration::from_secs(400 * 86_400),
            user_bytes_max: 64 << 20,
            bytes_max: 64 << 30,
        }
    }
}

/// People whose entries and word counts are kept in memory.
const ROSTERS_MAX: usize = 256;

/// Their entries, of about 120 bytes each.
const ROSTER_ENTRIES_MAX: usize = 1 << 20;

/// Names a person's folder.
type Key = [u8; 16];

/// The files of one person.
#[derive(Debug, Default)]
struct Tenant {
    files: BTreeMap<u32, Info>,
    /// The first file that cannot be read, and why.
    broken: Option<(PathBuf, String)>,
}

impl Tenant {
    fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }

    fn check(&self) -> Result<()> {
        match &self.broken {
            Some((path, why)) => Err(Error::ColdBroken { path: path.clone(), why: why.clone() }),
            None => Ok(()),
        }
    }
}

/// What is known of a person's cold memories without their texts.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// By id, with the number of the file.
    entries: BTreeMap<Uuid, (u32, Entry)>,
    /// In how many of them each word occurs.
    pub(crate) words: WordStats,
}

impl Roster {
    pub(crate) fn get(&self, id: Uuid) -> Option<&Entry> {
        self.entries.get(&id).map(|(_, entry)| entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The first and the last event time, in microseconds since 1970; `None` where there is nothing.
    pub(crate) fn span(&self) -> Option<(i64, i64)> {
        let times = || self.entries.values().map(|(_, entry)| entry.time);
        times().min().zip(times().max())
    }

    /// The ids from `from` on, in order.
    pub(crate) fn ids(&self, from: Option<Uuid>) -> impl Iterator<Item = Uuid> + '_ {
        self.entries.range(from.unwrap_or_default()..).map(|(id, _)| *id)
    }
}

/// Memories that were written here and must now go from the hot index.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Move {
    pub(crate) user: UserId,
    pub(crate) ids: Vec<Uuid>,
    number: u32,
}

/// The cold index of everybody, each for themselves. Its calls block.
pub(crate) struct Cold {
    dir: PathBuf,
    /// `None` where nothing moves.
    options: Option<ColdOptions>,
    /// Held for reading while files are read, for writing while they are replaced.
    tenants: RwLock<HashMap<Key, Tenant>>,
    /// One change at a time.
    writing: Mutex<()>,
    rosters: Mutex<HashMap<Key, Arc<Roster>>>,
}

impl Cold {
    /// Nothing is in it, and nothing moves.
    pub(crate) fn none() -> Self {
        let (tenants, writing, rosters) = (RwLock::default(), Mutex::default(), Mutex::default());
        Self { dir: PathBuf::new(), options: None, tenants, writing, rosters }
    }

    /// Opens what is in the folder, which need not exist; a file that cannot be read is remembered and said when its person
    /// is asked for.
    pub(crate) fn open(options: ColdOptions) -> Result<Self> {
        let (dir, tenants) = (options.folder.clone(), RwLock::new(files::open(&options.folder)?));
        Ok(Self { dir, options: Some(options), tenants, ..Self::none() })
    }

    /// How long memories stay in the hot index; `None` where nothing moves.
    pub(crate) fn retention(&self) -> Option<Duration> {
        self.options.as_ref().map(|options| options.retention)
    }

    /// Whether the person has any.
    pub(crate) fn has(&self, user: &UserId) -> bool {
        self.tenants().contains_key(&key(user))
    }

    /// What is known of the person's memories.
    pub(crate) fn roster(&self, user: &UserId) -> Result<Arc<Roster>> {
        let (key, tenants) = (key(user), self.tenants());
        let Some(tenant) = tenants.get(&key) else { return Ok(Arc::default()) };
        tenant.check()?;
        if let Some(roster) = self.rosters().get(&key) {
            return Ok(Arc::clone(roster));
        }
        let mut roster = Roster::default();
        for (number, info) in &tenant.files {
            let mut file = self.segment(user, &key, *number, info)?;
            let (entries, words) = (file.entries()?, file.words()?);
            for (at, entry) in entries.iter().enumerate() {
                // Of two files the one with the higher revision holds, of equal ones the later.
                if roster.get(entry.id).is_none_or(|other| other.revision <= entry.revision) {
                    roster.entries.insert(entry.id, (*number, *entry));
                }
                roster
                    .words
                    .add_words(segment::pairs(segment::words_of(&entries, at, &words)).map(|(word, _)| word));
            }
        }
        let roster = Arc::new(roster);
        let mut kept = self.rosters();
        let entries: usize = kept.values().map(|roster| roster.len()).sum();
        if kept.len() >= ROSTERS_MAX || entries + roster.len() > ROSTER_ENTRIES_MAX {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&roster));
        Ok(roster)
    }

    /// The person's memories with these ids, without vectors, in no order.
    pub(crate) fn get(&self, user: &UserId, ids: &[Uuid]) -> Result<Vec<Memory>> {
        let roster = self.roster(user)?;
        let mut by_file: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
        for (number, entry) in ids.iter().filter_map(|id| roster.entries.get(id)) {
            by_file.entry(*number).or_default().push(*entry);
        }
        let (key, tenants) = (key(user), self.tenants());
        let mut memories = Vec::new();
        for (number, mut entries) in by_file {
            // A file that was replaced since the roster was read: what it holds now is in the next answer.
            let Some(info) = tenants.get(&key).and_then(|tenant| tenant.files.get(&number)) else { continue };
            let mut file = self.segment(user, &key, number, info)?;
            let now: HashMap<Uuid, Entry> =
                file.entries()?.into_iter().map(|entry| (entry.id, entry)).collect();
            entries.retain_mut(|entry| now.get(&entry.id).map(|now| *entry = *now).is_some());
            // In the order of the blocks, so that each is read once.
            entries.sort_by_key(|entry| (entry.block, entry.offset));
            for entry in &entries {
                memories.push(file.memory(entry)?);
            }
        }
        Ok(memories)
    }

    /// How much there is.
    pub(crate) fn totals(&self) -> Totals {
        let tenants = self.tenants();
        let add = |totals: Totals, tenant: &Tenant| Totals {
            memories: totals.memories + tenant.files.values().map(|file| file.header.memories).sum::<usize>(),
            bytes: totals.bytes + tenant.bytes(),
            broken: totals.broken + usize::from(tenant.broken.is_some()),
        };
        tenants.values().fold(Totals::default(), add)
    }

    fn tenants(&self) -> RwLockReadGuard<'_, HashMap<Key, Tenant>> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn rosters(&self) -> MutexGuard<'_, HashMap<Key, Arc<Roster>>> {
        self.rosters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a file of the person. RC-2: it must say that it is theirs.
    fn segment(&self, user: &UserId, key: &Key, number: u32, info: &Info) -> Result<Segment> {
        let path = files::path(&self.dir, key, number, info.moving);
        let file = Segment::open(&path)?;
        if file.header.user != *user {
            tracing::error!(
                invariant = "RC-2",
                "a file of cold memories is another tenant's; it was withheld"
            );
            return Err(Error::ColdBroken { path, why: "it belongs to somebody else".to_owned() });
        }
        Ok(file)
    }
}

/// The name of a person's folder: of their id only by its hash, for ids may hold anything.
fn key(user: &UserId) -> Key {
    let mut key = Key::default();
    key.iter_mut().zip(Sha256::digest(user.as_str())).for_each(|(slot, byte)| *slot = byte);
    key
}
