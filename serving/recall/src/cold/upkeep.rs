//! Changing what is in the cold index: each change is durable when it returns.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError, RwLockWriteGuard};

use crave_schemas::UserId;
use uuid::Uuid;

use super::decide::{self, Droppable, FILE_MEMORIES_MAX, Size};
use super::entry::source_of;
use super::files::{self, Info};
use super::segment::{Header, Segment, encode};
use super::{Cold, ColdOptions, Key, Move, Tenant, key};
use crate::store::Prepared;
use crate::{Memory, Result, SourceKind};

/// Over a bound, so much of it is made free that the next move does not do it again: a tenth.
const SPARE: u64 = 10;
/// Steps in which a person's files are brought under a bound; sizes of memories are estimates.
const TRIMS_MAX: usize = 8;

/// Text of one move.
const TEXT_BYTES_MAX: usize = 32 << 20;

/// Memories of a file that have no meaning of the model that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Awaiting {
    pub(crate) memories: Vec<Memory>,
    pub(crate) place: Place,
}

/// A file: whose, and its number.
pub(crate) type Place = (Key, u32);

impl Cold {
    /// Writes memories of one person that are to leave the hot index, as many of them as fit in a file. They are found
    /// here from now on; delete those of the answer there, then call [`Self::finish`].
    pub(crate) fn begin(&self, user: &UserId, model: &str, mut items: Vec<Prepared>) -> Result<Move> {
        let _writing = self.writing();
        let mut bytes = 0;
        items.truncate(FILE_MEMORIES_MAX);
        let fits = items.iter().take_while(|item| {
            bytes += item.memory.text.len();
            bytes <= TEXT_BYTES_MAX
        });
        let count = fits.count().max(1);
        items.truncate(count);
        items.sort_by_key(|item| item.memory.id().0);
        items.dedup_by_key(|item| item.memory.id().0);
        let ids = items.iter().map(|item| item.memory.id().0).collect();
        let key = key(user);
        let number = self.next_number(&key)?;
        self.write(user, &key, number, true, Some(model), &[], &items)?;
        Ok(Move { user: user.clone(), ids, number })
    }

    /// What was begun and not finished: the hot index may hold these memories still.
    pub(crate) fn pending(&self) -> Vec<Move> {
        let tenants = self.tenants();
        let mut pending = Vec::new();
        for (key, tenant) in &*tenants {
            for (number, info) in tenant.files.iter().filter(|(_, info)| info.moving) {
                let user = info.header.user.clone();
                match self.segment(&user, key, *number, info).and_then(|mut file| file.entries()) {
                    Ok(entries) => {
                        let ids = entries.iter().map(|entry| entry.id).collect();
                        pending.push(Move { user, ids, number: *number });
                    }
                    // It stops nobody else.
                    Err(error) => tracing::error!(%error, "a move to the cold index cannot be ended"),
                }
            }
        }
        pending
    }

    /// Ends a move whose memories the hot index has deleted, and makes room where there is too little.
    pub(crate) fn finish(&self, done: &Move) -> Result<()> {
        let _writing = self.writing();
        let key = key(&done.user);
        {
            let mut tenants = self.tenants_mut();
            let file = tenants.get_mut(&key).and_then(|tenant| tenant.files.get_mut(&done.number));
            if let Some(info) = file.filter(|info| info.moving) {
                let [from, to] =
                    [true, false].map(|moving| files::path(&self.dir, &key, done.number, moving));
                files::rename(&from, &to)?;
                info.moving = false;
            }
        }
        self.sync(&key)?;
        self.merge(&done.user, &key)?;
        self.make_room(&key)
    }

    /// Deletes what was made from a source, up to a revision.
    pub(crate) fn delete_source(
        &self,
        user: &UserId,
        kind: SourceKind,
        source_id: &str,
        through: u32,
    ) -> Result<()> {
        if !self.has(user) {
            return Ok(());
        }
        let hash = source_of(kind, source_id);
        let _writing = self.writing();
        let roster = self.roster(user)?;
        let like: Vec<Uuid> = roster
            .entries
            .values()
            .filter(|(_, entry)| entry.source == hash && entry.revision <= through)
            .map(|(_, entry)| entry.id)
            .collect();
        // The hash may be another source's too.
        let from = |memory: &Memory| memory.source_kind == kind && memory.source_id == source_id;
        let memories = self.get(user, &like)?;
        let doomed = memories.iter().filter(|memory| from(memory)).map(|memory| (memory.id().0, through));
        self.remove(user, &doomed.collect())
    }

    /// Deletes memories up to a revision each: newer ones are in the hot index.
    pub(crate) fn supersede(&self, user: &UserId, ids: &HashMap<Uuid, u32>) -> Result<()> {
        if !self.has(user) {
            return Ok(());
        }
        let _writing = self.writing();
        self.remove(user, ids)
    }

    /// Leaves no byte of the person.
    pub(crate) fn erase(&self, user: &UserId) -> Result<()> {
        let _writing = self.writing();
        let key = key(user);
        let mut tenants = self.tenants_mut();
        files::remove_folder(&files::folder(&self.dir, &key))?;
        tenants.remove(&key);
        self.rosters().remove(&key);
        Ok(())
    }

    /// The memories without a meaning of `model` of the first file after `after` that has any; `None` at the end.
    pub(crate) fn awaiting(&self, model: &str, mut after: Option<Place>) -> Option<Awaiting> {
        let tenants = self.tenants();
        loop {
            let sound = tenants.iter().filter(|(_, tenant)| tenant.broken.is_none());
            let files = sound.flat_map(|(key, tenant)| tenant.files.iter().map(move |file| (*key, file)));
            let lacking = files.filter(|(_, (_, info))| lacks(&info.header, model) > 0);
            let next =
                lacking.filter(|(key, (number, _))| after.is_none_or(|after| (*key, **number) > after));
            let (key, (number, info)) = next.min_by_key(|(key, (number, _))| (*key, **number))?;
            let user = &info.header.user;
            match self.segment(user, &key, *number, info).and_then(|mut file| lacking_of(&mut file, model)) {
                Ok(memories) => return Some(Awaiting { memories, place: (key, *number) }),
                // It stops nobody else.
                Err(error) => tracing::error!(%error, "cold memories cannot be embedded anew"),
            }
            after = Some((key, *number));
        }
    }

    /// How many memories have no meaning of `model`.
    pub(crate) fn lacking(&self, model: &str) -> usize {
        let tenants = self.tenants();
        let files = tenants.values().flat_map(|tenant| tenant.files.values());
        files.map(|info| lacks(&info.header, model)).sum()
    }

    /// Gives memories of a file their meanings by `model`, where they are still there and the same.
    pub(crate) fn embedded(
        &self,
        awaiting: &Awaiting,
        model: &str,
        mut meanings: HashMap<Uuid, Vec<f32>>,
    ) -> Result<()> {
        let _writing = self.writing();
        let (key, number) = awaiting.place;
        let before: HashMap<Uuid, &Memory> =
            awaiting.memories.iter().map(|memory| (memory.id().0, memory)).collect();
        let Some(mut items) = self.items(&key, number)? else { return Ok(()) };
        let other = self.model(&key, number).as_deref() != Some(model);
        for item in &mut items {
            let id = item.memory.id().0;
            let same = before.get(&id).is_some_and(|memory| **memory == item.memory);
            match meanings.remove(&id).filter(|_| same) {
                Some(meaning) => item.dense = Some(meaning),
                None if other => item.dense = None,
                None => {}
            }
        }
        self.replace(&key, number, Some(model), &items)
    }

    /// Writes files anew without what is doomed; of a file that holds nothing of it not a byte is read.
    fn remove(&self, user: &UserId, doomed: &HashMap<Uuid, u32>) -> Result<()> {
        let roster = self.roster(user)?;
        let key = key(user);
        let hit = |(id, through): (&Uuid, &u32)| {
            let (number, entry) = roster.entries.get(id)?;
            (entry.revision <= *through).then_some((*number, *id))
        };
        let mut by_file: BTreeMap<u32, HashSet<Uuid>> = BTreeMap::new();
        for (number, id) in doomed.iter().filter_map(hit) {
            by_file.entry(number).or_default().insert(id);
        }
        for (number, ids) in by_file {
            self.without(&key, number, &ids)?;
        }
        Ok(())
    }

    fn without(&self, key: &Key, number: u32, ids: &HashSet<Uuid>) -> Result<()> {
        let Some(mut items) = self.items(key, number)? else { return Ok(()) };
        items.retain(|item| !ids.contains(&item.memory.id().0));
        self.replace(key, number, self.model(key, number).as_deref(), &items)
    }

    /// What made the meanings of a file.
    fn model(&self, key: &Key, number: u32) -> Option<String> {
        self.tenants().get(key).and_then(|tenant| tenant.files.get(&number)?.header.model.clone())
    }

    /// Makes one file of a person's small ones.
    fn merge(&self, user: &UserId, key: &Key) -> Result<()> {
        let (chosen, model) = {
            let tenants = self.tenants();
            let Some(tenant) = tenants.get(key).filter(|tenant| tenant.broken.is_none()) else {
                return Ok(());
            };
            // Those of the newest one's model: vectors of two are never in one file.
            let model = tenant.files.values().next_back().and_then(|info| info.header.model.clone());
            let same = tenant.files.iter().filter(|(_, info)| info.header.model == model && !info.moving);
            let sizes: Vec<Size> = same
                .map(|(number, info)| Size {
                    number: *number,
                    memories: info.header.memories,
                    bytes: info.bytes,
                })
                .collect();
            (decide::merged(&sizes), model)
        };
        if chosen.len() < 2 {
            return Ok(());
        }
        let mut items = BTreeMap::new();
        for number in &chosen {
            for item in self.items(key, *number)?.unwrap_or_default() {
                items.insert(item.memory.id().0, item);
            }
        }
        let items: Vec<Prepared> = items.into_values().collect();
        let number = self.next_number(key)?;
        self.write(user, key, number, false, model.as_deref(), &chosen, &items)
    }

    /// Drops the least important memories while the person, and while everybody together, has too many bytes.
    fn make_room(&self, key: &Key) -> Result<()> {
        let Some(ColdOptions { user_bytes_max: max, bytes_max, .. }) = self.options.as_ref() else {
            return Ok(());
        };
        let (max, bytes_max) = (*max, *bytes_max);
        if self.tenants().get(key).is_some_and(|tenant| tenant.bytes() > max) {
            self.trim(key, max - max / SPARE)?;
        }
        let max = bytes_max;
        let sizes: Vec<(Key, u64)> =
            self.tenants().iter().map(|(key, tenant)| (*key, tenant.bytes())).collect();
        let bytes: Vec<u64> = sizes.iter().map(|(_, bytes)| *bytes).collect();
        if bytes.iter().sum::<u64>() <= max {
            return Ok(());
        }
        let share = decide::fair_share(&bytes, max - max / SPARE).unwrap_or(u64::MAX);
        for (key, _) in sizes.iter().filter(|(_, bytes)| *bytes > share) {
            if let Err(error) = self.trim(key, share) {
                // It is somebody else's file.
                tracing::error!(%error, "no room was made in the cold index");
            }
        }
        Ok(())
    }

    /// Brings a person's files under `target` bytes, as far as what may be dropped allows.
    fn trim(&self, key: &Key, target: u64) -> Result<()> {
        for _ in 0..TRIMS_MAX {
            let (user, bytes) = {
                let tenants = self.tenants();
                let Some(tenant) = tenants.get(key).filter(|tenant| tenant.broken.is_none()) else {
                    return Ok(());
                };
                (tenant.files.values().next().map(|info| info.header.user.clone()), tenant.bytes())
            };
            let (Some(user), Some(over)) = (user, bytes.checked_sub(target).filter(|over| *over > 0)) else {
                return Ok(());
            };
            let roster = self.roster(&user)?;
            let each = bytes / (roster.len() as u64).max(1);
            let free: Vec<(Uuid, u32, Droppable)> = roster
                .entries
                .values()
                .filter(|(_, entry)| !entry.kept)
                .map(|(_, entry)| {
                    let (importance, time) = (entry.importance, entry.time);
                    (entry.id, entry.revision, Droppable { importance, time, bytes: each })
                })
                .collect();
            let places = decide::dropped(&free.iter().map(|(_, _, one)| *one).collect::<Vec<_>>(), over);
            if places.is_empty() {
                tracing::warn!(bytes, target, "cold memories that are never dropped exceed their bound");
                return Ok(());
            }
            tracing::info!(memories = places.len(), "cold memories were dropped for room");
            let doomed =
                places.iter().filter_map(|at| free.get(*at)).map(|(id, revision, _)| (*id, *revision));
            self.remove(&user, &doomed.collect())?;
        }
        Ok(())
    }

    /// Everything in a file; `None` when it is gone.
    fn items(&self, key: &Key, number: u32) -> Result<Option<Vec<Prepared>>> {
        let tenants = self.tenants();
        let Some(info) = tenants.get(key).and_then(|tenant| tenant.files.get(&number)) else {
            return Ok(None);
        };
        self.segment(&info.header.user, key, number, info)?.items().map(Some)
    }

    /// Writes a file anew in its place; one without memories goes.
    fn replace(&self, key: &Key, number: u32, model: Option<&str>, items: &[Prepared]) -> Result<()> {
        let info = self.tenants().get(key).and_then(|tenant| tenant.files.get(&number)).cloned();
        let Some(Info { header, moving, .. }) = info else { return Ok(()) };
        if !items.is_empty() {
            return self.write(&header.user, key, number, moving, model, &header.replaces, items);
        }
        let mut tenants = self.tenants_mut();
        files::remove(&files::path(&self.dir, key, number, moving))?;
        let tenant = tenants.entry(*key).or_default();
        tenant.files.remove(&number);
        self.rosters().remove(key);
        if tenant.files.is_empty() && tenant.broken.is_none() {
            tenants.remove(key);
            return files::remove_folder(&files::folder(&self.dir, key));
        }
        drop(tenants);
        self.sync(key)
    }

    /// Writes a file and puts it in its place, those that it replaces out of theirs, in one step for readers; after a
    /// crash the next opening does the rest.
    #[allow(clippy::too_many_arguments, reason = "the parts of one file")]
    fn write(
        &self,
        user: &UserId,
        key: &Key,
        number: u32,
        moving: bool,
        model: Option<&str>,
        replaces: &[u32],
        items: &[Prepared],
    ) -> Result<()> {
        let bytes = encode(user, model, replaces.to_owned(), items)?;
        let path = files::path(&self.dir, key, number, moving);
        let beside = files::write_beside(&path, &bytes)?;
        let header = Segment::open(&beside)?.header;
        let mut tenants = self.tenants_mut();
        files::rename(&beside, &path)?;
        let tenant = tenants.entry(*key).or_default();
        tenant.files.insert(number, Info { header, bytes: bytes.len() as u64, moving });
        let old: Vec<(u32, Info)> =
            replaces.iter().filter_map(|old| tenant.files.remove_entry(old)).collect();
        self.rosters().remove(key);
        drop(tenants);
        // The new file first, so that no crash leaves neither.
        self.sync(key)?;
        for (number, info) in &old {
            files::remove(&files::path(&self.dir, key, *number, info.moving))?;
        }
        if old.is_empty() { Ok(()) } else { self.sync(key) }
    }

    fn next_number(&self, key: &Key) -> Result<u32> {
        let tenants = self.tenants();
        let Some(tenant) = tenants.get(key) else { return Ok(1) };
        tenant.check()?;
        Ok(tenant.files.keys().next_back().map_or(1, |last| last.saturating_add(1)))
    }

    fn sync(&self, key: &Key) -> Result<()> {
        let folder = files::folder(&self.dir, key);
        if folder.is_dir() { files::sync(&folder) } else { Ok(()) }
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tenants_mut(&self) -> RwLockWriteGuard<'_, HashMap<Key, Tenant>> {
        self.tenants.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memories of a file without a meaning of `model`.
fn lacking_of(file: &mut Segment, model: &str) -> Result<Vec<Memory>> {
    let all = file.header.model.as_deref() != Some(model);
    let entries = file.entries()?;
    entries.iter().filter(|entry| all || !entry.meant).map(|entry| file.memory(entry)).collect()
}

/// How many memories of a file have no meaning of `model`.
fn lacks(header: &Header, model: &str) -> usize {
    if header.model.as_deref() == Some(model) { header.meaningless } else { header.memories }
}
