//! The collection in use and, while another model takes over, the one that is on its way.
//!
//! Erasing and scrubbing copy what stays into a new collection and switch to it. A change of the model does the same
//! without the vectors: from then on every write goes to both, the new collection first, so that whatever the old one
//! has the new one has too; the missing vectors are made in the background; then one step puts the new one in use.
//! Searches use the old one until that step, and never see both. A crash leaves what the catalogue names: a collection
//! that is on its way is gone on with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crave_schemas::UserId;
use tokio::sync::{RwLock, RwLockReadGuard};
use uuid::Uuid;

use super::{Catalogue, Collection, Held, Meaning, Page, Point, Prepared};
use crate::embed::Model;
use crate::{Result, SourceKind};

/// Points in a page while copying.
const PAGE_POINTS: usize = 512;

type Numbered = (u64, Arc<dyn Collection>);

/// Which collection is meant: the one of this model, for the other one always has another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its model.
    pub(crate) model: Model,
    /// Its number, which changes with each copy.
    pub(crate) number: u64,
    /// Whether it is on its way, not in use.
    pub(crate) is_next: bool,
}

pub(crate) struct Collections {
    catalogue: Box<dyn Catalogue>,
    /// Held for reading while a collection is used, so that none is closed under its reader.
    held: RwLock<Held>,
    /// Shared by writes; whatever copies a collection has it alone.
    writing: RwLock<()>,
    scrub_due: AtomicBool,
}

impl Collections {
    /// Opens what `catalogue` holds; where it is empty, with a first collection of `model`.
    pub(crate) async fn open(catalogue: Box<dyn Catalogue>, model: &Model) -> Result<Self> {
        let held = catalogue.open(model).await?;
        let (held, writing) = (RwLock::new(held), RwLock::new(()));
        Ok(Self { catalogue, held, writing, scrub_due: AtomicBool::new(false) })
    }

    /// The collection in use, for as long as the guard is held. Not to be held while something remote is waited for.
    pub(crate) async fn live(&self) -> RwLockReadGuard<'_, dyn Collection> {
        RwLockReadGuard::map(self.held.read().await, |held| &*held.current.1)
    }

    /// The collection in use, and the one on its way.
    pub(crate) async fn targets(&self) -> (Target, Option<Target>) {
        let held = self.held.read().await;
        (target(&held.current, false), held.next.as_ref().map(|next| target(next, true)))
    }

    /// Runs `work` on a target, unless it is no longer there.
    async fn at<T, F>(
        &self,
        target: &Target,
        work: impl FnOnce(Arc<dyn Collection>) -> F,
    ) -> Result<Option<T>>
    where
        F: Future<Output = Result<T>>,
    {
        let held = self.held.read().await;
        let found = [Some(&held.current), held.next.as_ref()];
        match found.into_iter().flatten().find(|(_, held)| *held.model() == target.model) {
            Some((_, collection)) => work(Arc::clone(collection)).await.map(Some),
            None => Ok(None),
        }
    }

    /// Writes memories whose vectors are of `model`. A collection of another model takes them without.
    pub(crate) async fn upsert(&self, memories: Vec<Prepared>, model: &Model) -> Result<()> {
        let _shared = self.writing.read().await;
        let held = self.held.read().await;
        if let Some((_, next)) = &held.next {
            next.upsert(fitting(memories.clone(), model, next.model())).await?;
        }
        let live = &held.current.1;
        live.upsert(fitting(memories, model, live.model())).await
    }

    /// Deletes a source and leaves a tombstone.
    pub(crate) async fn delete_source(
        &self,
        user: &UserId,
        kind: SourceKind,
        source: &str,
        through: u32,
    ) -> Result<()> {
        let _shared = self.writing.read().await;
        let held = self.held.read().await;
        self.scrub_due.store(true, Ordering::SeqCst);
        if let Some((_, next)) = &held.next {
            next.delete_source(user, kind, source, through).await?;
        }
        held.current.1.delete_source(user, kind, source, through).await
    }

    /// Deletes memories of the person that are kept elsewhere by now.
    pub(crate) async fn forget(&self, user: &UserId, ids: &[Uuid]) -> Result<()> {
        // Alone, so that no copy on its way brings them back.
        let _alone = self.writing.write().await;
        let held = self.held.read().await;
        if let Some((_, next)) = &held.next {
            next.forget(user, ids).await?;
        }
        held.current.1.forget(user, ids).await
    }

    /// A page of the memories of a target that have no vector; `None` when it is no longer there.
    pub(crate) async fn without_meaning(
        &self,
        target: &Target,
        from: Option<Uuid>,
        limit: usize,
    ) -> Result<Option<Page>> {
        self.at(target, |collection| async move { collection.without_meaning(from, limit).await }).await
    }

    /// Gives memories of a target their vectors; does nothing when it is no longer there.
    pub(crate) async fn set_meanings(&self, target: &Target, meanings: Vec<Meaning>) -> Result<()> {
        let _shared = self.writing.read().await;
        let set = |collection: Arc<dyn Collection>| async move { collection.set_meanings(meanings).await };
        self.at(target, set).await.map(drop)
    }

    /// How many memories a target has, and how many of them have no vector; `None` when it is no longer there.
    pub(crate) async fn totals(&self, target: &Target) -> Result<Option<(usize, usize)>> {
        self.at(target, |collection| async move { collection.totals().await }).await
    }

    /// Merges segments of the collection in use.
    pub(crate) async fn optimise(&self) -> Result<()> {
        let live = Arc::clone(&self.held.read().await.current.1);
        live.optimise().await
    }

    /// Whether sources were deleted since the last scrub.
    pub(crate) fn scrub_due(&self) -> bool {
        self.scrub_due.load(Ordering::SeqCst)
    }

    /// Copies everything but the erased person's into new collections and removes the old ones.
    pub(crate) async fn rebuild(&self, erased: Option<&UserId>) -> Result<()> {
        let _alone = self.writing.write().await;
        let (live, next) = self.both().await;
        let keeps = |point: &Point| erased.is_none_or(|user| point.owner() != Some(user.as_str()));
        let mut number = self.last_number().await;
        if let Some(old) = next {
            number += 1;
            let new = self.copied(&old.1, number, old.1.model(), keeps).await?;
            self.catalogue.set_next(Some(number)).await?;
            self.held.write().await.next = Some((number, new));
            self.discard(old).await?;
        }
        number += 1;
        let new = self.copied(&live.1, number, live.1.model(), keeps).await?;
        self.catalogue.set_current(number).await?;
        self.held.write().await.current = (number, new);
        self.scrub_due.store(false, Ordering::SeqCst);
        self.discard(live).await
    }

    /// Begins to change to another model, or gives up a change to yet another one.
    pub(crate) async fn begin(&self, model: &Model) -> Result<()> {
        let _alone = self.writing.write().await;
        let (live, next) = self.both().await;
        let useful = live.1.model() != model;
        if useful && next.as_ref().is_some_and(|(_, next)| next.model() == model) {
            return Ok(());
        }
        if let Some(old) = next {
            self.catalogue.set_next(None).await?;
            self.held.write().await.next = None;
            self.discard(old).await?;
        }
        if !useful {
            return Ok(());
        }
        let number = self.last_number().await + 1;
        let new = self.copied(&live.1, number, model, |_| true).await?;
        self.catalogue.set_next(Some(number)).await?;
        self.held.write().await.next = Some((number, new));
        Ok(())
    }

    /// Puts the collection on its way in use, if it is still `target`.
    pub(crate) async fn switch(&self, target: &Target) -> Result<()> {
        let _alone = self.writing.write().await;
        // From here on no search runs until the step is done.
        let mut held = self.held.write().await;
        let Some(next) = held.next.clone().filter(|(_, next)| *next.model() == target.model) else {
            return Ok(());
        };
        self.catalogue.promote(next.0).await?;
        let old = std::mem::replace(&mut held.current, next);
        held.next = None;
        drop(held);
        self.discard(old).await
    }

    async fn both(&self) -> (Numbered, Option<Numbered>) {
        let held = self.held.read().await;
        (held.current.clone(), held.next.clone())
    }

    async fn last_number(&self) -> u64 {
        let held = self.held.read().await;
        held.current.0.max(held.next.as_ref().map_or(0, |(number, _)| *number))
    }

    /// Fills a new collection; vectors of meaning come along only where the model is the same.
    async fn copied(
        &self,
        from: &Arc<dyn Collection>,
        number: u64,
        model: &Model,
        keeps: impl Fn(&Point) -> bool + Send + Sync,
    ) -> Result<Arc<dyn Collection>> {
        let new = self.catalogue.create(number, model).await?;
        let same = from.model() == model;
        let mut offset = None;
        loop {
            let (mut points, following) = from.page(offset, PAGE_POINTS).await?;
            points.retain(&keeps);
            if !same {
                points.iter_mut().for_each(|point| point.dense = None);
            }
            new.put(points).await?;
            match following {
                Some(_) => offset = following,
                None => return Ok(new),
            }
        }
    }

    /// Removes a collection that nobody finds any more.
    async fn discard(&self, (number, collection): Numbered) -> Result<()> {
        collection.close().await?;
        self.catalogue.remove(number).await
    }
}

fn target((number, collection): &Numbered, is_next: bool) -> Target {
    Target { number: *number, model: collection.model().clone(), is_next }
}

/// Memories with the vectors that a collection of `model` takes.
fn fitting(mut memories: Vec<Prepared>, made_by: &Model, model: &Model) -> Vec<Prepared> {
    if made_by != model {
        memories.iter_mut().for_each(|memory| memory.dense = None);
    }
    memories
}

impl Held {
    /// What is there when all is new.
    pub(super) fn first(number: u64, collection: Arc<dyn Collection>) -> Self {
        Self { current: (number, collection), next: None }
    }
}
