//! The cold index behind the door: what moves to it, and what writes, deletions and lists make of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Datelike as _, NaiveTime, TimeDelta, Utc};
use crave_schemas::UserId;
use uuid::Uuid;

use super::embedding::detached;
use super::{Inner, Recall};
use crate::candidates::{off_thread, tag};
use crate::cold::{Entry, Move, hash_of};
use crate::store::{Point, Prepared, Scope};
use crate::{Error, Memory, MemoryId, Result, SourceKind};

/// What moves: trend markers stay, for they are what is left of old times.
const RAW: [SourceKind; 4] = [SourceKind::Note, SourceKind::Journal, SourceKind::Chat, SourceKind::Document];
/// Memories that are looked through, or of one person moved, at once.
const PAGE: usize = 4096;

impl Recall {
    /// Moves raw memories that are past their retention at `now` to the cold index, some thousand at most; returns how
    /// many. Call it until it returns 0. Each person's move is whole or not begun, whenever it is killed; searches and
    /// other people's writes go on.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Engine`] or [`Error::Server`]: what moved has moved, call it again. [`Error::ColdBroken`]
    /// when nothing could be moved because of a damaged file.
    pub async fn retire(&self, now: DateTime<Utc>) -> Result<usize> {
        let Some(before) = self.inner.cold.retention().and_then(|retention| retired(now, retention)) else {
            return Ok(0);
        };
        self.inner.finish_moves().await?;
        let scope = Scope { kinds: RAW.to_vec(), until: Some(before), ..Scope::default() };
        let (mut from, mut failed) = (None, Ok(0));
        loop {
            let (points, next) = self.inner.collections.live().await.within(None, &scope, from, PAGE).await?;
            let people = points.iter().filter_map(|point| Some(point.memory()?.user_id));
            let mut moved = 0;
            for user in people.collect::<BTreeSet<UserId>>() {
                let (inner, scope) = (Arc::clone(&self.inner), scope.clone());
                match detached(async move { inner.cool(&user, &scope).await }).await {
                    Ok(some) => moved += some,
                    // Somebody's damaged file keeps nobody else's memories.
                    Err(error) => failed = Err(error),
                }
            }
            match next {
                _ if moved > 0 => return Ok(moved),
                Some(_) => from = next,
                None => return failed,
            }
        }
    }
}

/// Before when memories move at `now`: the beginning of a month, so that a person's move is a month's and not a note's.
fn retired(now: DateTime<Utc>, retention: std::time::Duration) -> Option<DateTime<Utc>> {
    let day = now.checked_sub_signed(TimeDelta::from_std(retention).ok()?)?.date_naive();
    Some(day.with_day(1)?.and_time(NaiveTime::MIN).and_utc())
}

/// The revisions of memories, by person.
pub(super) fn revisions<'a>(
    memories: impl Iterator<Item = &'a Memory>,
) -> HashMap<UserId, HashMap<Uuid, u32>> {
    let mut revisions: HashMap<UserId, HashMap<Uuid, u32>> = HashMap::new();
    for memory in memories {
        let mine = revisions.entry(memory.user_id.clone()).or_default();
        let revision = mine.entry(memory.id().0).or_default();
        *revision = memory.revision.max(*revision);
    }
    revisions
}

/// Whether what is cold is the same memory or a newer revision of it.
fn holds(cold: &Entry, memory: &Memory) -> bool {
    cold.revision > memory.revision || (cold.revision == memory.revision && cold.hash == hash_of(memory))
}

/// Nothing in the place of what a damaged file holds; its person's searches say so.
fn or_none<T: Default>(read: Result<T>) -> Result<T> {
    match read {
        Err(Error::ColdBroken { path, why }) => {
            tracing::error!(path = %path.display(), why, "cold memories cannot be read; writing goes on");
            Ok(T::default())
        }
        other => other,
    }
}

impl Inner {
    /// Ends the moves that a crash or a failure cut off.
    pub(super) async fn finish_moves(self: &Arc<Self>) -> Result<()> {
        let inner = Arc::clone(self);
        detached(async move {
            let _alone = inner.moving.write().await;
            for begun in off_thread(&inner.cold, |cold| Ok(cold.pending())).await? {
                inner.finish(begun).await?;
            }
            Ok(())
        })
        .await
    }

    /// Moves the person's memories within the scope, as many as go into one file.
    async fn cool(&self, user: &UserId, scope: &Scope) -> Result<usize> {
        let _alone = self.moving.write().await;
        let live = self.collections.live().await;
        let (points, _) = live.within(Some(user), scope, None, PAGE).await?;
        let model = tag(live.model());
        drop(live);
        let prepared = |point: Point| {
            Some(Prepared { memory: point.of(user)?, dense: point.dense, sparse: point.sparse })
        };
        let items: Vec<Prepared> = points.into_iter().filter_map(prepared).collect();
        if items.is_empty() {
            return Ok(0);
        }
        let whose = user.clone();
        let begun = off_thread(&self.cold, move |cold| cold.begin(&whose, &model, items)).await?;
        let moved = begun.ids.len();
        self.finish(begun).await?;
        Ok(moved)
    }

    async fn finish(&self, begun: Move) -> Result<()> {
        let _changing = self.caches.changing([begun.user.clone()]);
        self.collections.forget(&begun.user, &begun.ids).await?;
        self.words.forget(&begun.user);
        off_thread(&self.cold, move |cold| cold.finish(&begun)).await
    }

    /// Leaves out what is cold already, in the same or a newer revision.
    pub(super) async fn not_cold<T: Send + 'static>(
        &self,
        all: Vec<T>,
        memory: impl Fn(&T) -> &Memory + Send + 'static,
    ) -> Result<Vec<T>> {
        if !all.iter().any(|one| self.cold.has(&memory(one).user_id)) {
            return Ok(all);
        }
        off_thread(&self.cold, move |cold| {
            let mut rosters = HashMap::new();
            let mut left = Vec::with_capacity(all.len());
            for one in all {
                let (user, id) = (memory(&one).user_id.clone(), memory(&one).id().0);
                let roster = match rosters.get(&user) {
                    Some(roster) => Arc::clone(roster),
                    // A damaged file keeps nobody from writing: what it holds is written again, hot.
                    None => or_none(cold.roster(&user))?,
                };
                if !roster.get(id).is_some_and(|entry| holds(entry, memory(&one))) {
                    left.push(one);
                }
                rosters.insert(user, roster);
            }
            Ok(left)
        })
        .await
    }

    /// Deletes from the cold index what the hot one has in these revisions now.
    pub(super) async fn supersede(&self, revisions: HashMap<UserId, HashMap<Uuid, u32>>) -> Result<()> {
        let cold: Vec<_> = revisions.into_iter().filter(|(user, _)| self.cold.has(user)).collect();
        if cold.is_empty() {
            return Ok(());
        }
        off_thread(&self.cold, move |index| {
            cold.iter().try_for_each(|(user, ids)| or_none(index.supersede(user, ids)))
        })
        .await
    }

    pub(super) async fn delete_cold(
        &self,
        user: &UserId,
        kind: SourceKind,
        source: &str,
        through: u32,
    ) -> Result<()> {
        if !self.cold.has(user) {
            return Ok(());
        }
        let (user, source) = (user.clone(), source.to_owned());
        off_thread(&self.cold, move |cold| cold.delete_source(&user, kind, &source, through)).await
    }

    pub(super) async fn erase_cold(&self, user: &UserId) -> Result<()> {
        let _alone = self.moving.write().await;
        let user = user.clone();
        off_thread(&self.cold, move |cold| cold.erase(&user)).await
    }

    pub(super) async fn cold_count(&self, user: &UserId) -> Result<usize> {
        if !self.cold.has(user) {
            return Ok(0);
        }
        let user = user.clone();
        off_thread(&self.cold, move |cold| Ok(cold.roster(&user)?.len())).await
    }

    /// What was found hot, with those of `ids` that are cold.
    pub(super) async fn with_cold(
        &self,
        user: &UserId,
        ids: Vec<Uuid>,
        hot: Vec<Memory>,
    ) -> Result<Vec<Memory>> {
        if !self.cold.has(user) {
            return Ok(hot);
        }
        let there: HashSet<Uuid> = hot.iter().map(|memory| memory.id().0).collect();
        let missing: Vec<Uuid> = ids.into_iter().filter(|id| !there.contains(id)).collect();
        let user = user.clone();
        let mut all = hot;
        all.extend(off_thread(&self.cold, move |cold| cold.get(&user, &missing)).await?);
        Ok(all)
    }

    /// A page of the hot index from `from` on, filled with what is cold.
    pub(super) async fn page_with_cold(
        &self,
        user: &UserId,
        from: Option<MemoryId>,
        limit: usize,
        (hot, next): (Vec<Memory>, Option<MemoryId>),
    ) -> Result<(Vec<Memory>, Option<MemoryId>)> {
        if !self.cold.has(user) {
            return Ok((hot, next));
        }
        let user = user.clone();
        off_thread(&self.cold, move |cold| {
            let roster = cold.roster(&user)?;
            let mut all: BTreeMap<MemoryId, Option<Memory>> =
                hot.into_iter().map(|memory| (memory.id(), Some(memory))).collect();
            // One more than fits tells where the next page begins. A memory that is in both is given as it is hot.
            for id in roster.ids(from.map(|id| id.0)).take(limit + 1) {
                all.entry(MemoryId(id)).or_insert(None);
            }
            let end = all.keys().nth(limit).copied();
            let next = end.into_iter().chain(next).min();
            let page = all.into_iter().take(limit);
            let (mut memories, old): (Vec<Memory>, Vec<Uuid>) =
                page.fold((Vec::new(), Vec::new()), |(mut memories, mut old), (id, memory)| {
                    match memory {
                        Some(memory) => memories.push(memory),
                        None => old.push(id.0),
                    }
                    (memories, old)
                });
            memories.extend(cold.get(&user, &old)?);
            memories.sort_by_key(Memory::id);
            Ok((memories, next))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_months_move() {
        let day = 86_400;
        for (now, days, before) in [
            ("2026-06-10T12:00:00Z", 400, "2025-05-01T00:00:00Z"),
            ("2026-06-04T12:00:00Z", 400, "2025-04-01T00:00:00Z"),
            ("2026-03-01T00:00:00Z", 0, "2026-03-01T00:00:00Z"),
        ] {
            let retention = std::time::Duration::from_secs(days * day);
            assert_eq!(retired(now.parse().unwrap(), retention), Some(before.parse().unwrap()));
        }
        assert_eq!(retired(DateTime::UNIX_EPOCH, std::time::Duration::MAX), None);
    }
}
