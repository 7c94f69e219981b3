//! Which model embeds whose memories, and the change from one model to another.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crave_schemas::UserId;
use uuid::Uuid;

use super::{Inner, Recall};
use crate::candidates::{off_thread, tag};
use crate::cold::Place as FileOf;
use crate::embed::{Embedder, Model};
use crate::error::ErrorKind;
use crate::store::{Meaning, Point, Target};
use crate::{Error, LIMITS, Memory, Result};

/// How far a pass over what has no vector has come.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// The number of the collection that it goes over.
    over: Option<u64>,
    /// Where its next page begins.
    from: Option<Uuid>,
    /// Memories embedded in it so far.
    embedded: usize,
    /// The file of the cold index that was last gone over.
    cold: Option<FileOf>,
}

impl Recall {
    /// Embeds up to `limit` memories that have no vector of the model that is set, because no model was there when they
    /// were written, because it was away, or because it is another than the collection's; returns how many it did.
    /// Call it until it returns 0.
    ///
    /// When the model is another than the collection's, the first call begins a second collection, which from then on
    /// gets every write too; when hardly anything is left to embed in it, one step puts it in the place of the first.
    /// Until then searches use the first, with its own model where that is among the [`crate::Embedders`], else by words
    /// alone. A process that dies meanwhile goes on at the next start.
    ///
    /// Then come the memories of the cold index, a file a call, whatever `limit` is: until its turn a file of another
    /// model is found by words alone.
    ///
    /// Memories of people who did not agree to a remote model are passed over.
    ///
    /// # Errors
    /// As [`Self::upsert`]; what was embedded before is kept.
    pub async fn embed_missing(&self, limit: usize) -> Result<usize> {
        let inner = &self.inner;
        let Some(chosen) = inner.embedders.chosen() else { return Ok(0) };
        let limit = limit.clamp(1, LIMITS.upsert_memories_max);
        let mut pass = inner.pass.lock().await;
        match self.embed_hot(chosen, limit, &mut pass).await? {
            0 => self.embed_cold(chosen, &mut pass.cold).await,
            embedded => Ok(embedded),
        }
    }

    async fn embed_hot(&self, chosen: &Arc<dyn Embedder>, limit: usize, pass: &mut Pass) -> Result<usize> {
        let inner = &self.inner;
        let (mut live, mut next) = inner.collections.targets().await;
        let in_order = match &next {
            Some(next) => next.model == *chosen.model() && live.model != *chosen.model(),
            None => live.model == *chosen.model(),
        };
        if !in_order {
            tracing::info!(from = %live.model, to = %chosen.model(), "memories are embedded anew");
            let (inner, model) = (Arc::clone(inner), chosen.model().clone());
            detached(async move { inner.collections.begin(&model).await }).await?;
            (live, next) = self.inner.collections.targets().await;
        }
        let mut target = next.unwrap_or(live);
        if pass.over != Some(target.number) {
            *pass = Pass { over: Some(target.number), cold: pass.cold, ..Pass::default() };
        }
        loop {
            let page = inner.collections.without_meaning(&target, pass.from, limit).await?;
            let Some((points, following)) = page else { return Ok(0) };
            let embedded = self.embed_page(chosen, &target, &points).await?;
            (pass.from, pass.embedded) = (following, pass.embedded + embedded);
            if following.is_none() {
                let embedded_in_pass = std::mem::take(&mut pass.embedded);
                // What is left now came while the pass ran, and is embedded after the switch.
                if target.is_next && embedded_in_pass <= limit {
                    let (switching, full) = (Arc::clone(inner), target.clone());
                    detached(async move {
                        let switched = switching.collections.switch(&full).await;
                        switching.caches.changed_for_everybody();
                        switched
                    })
                    .await?;
                    let (memories, by_words) = inner.collections.totals(&target).await?.unwrap_or_default();
                    tracing::info!(model = %chosen.model(), memories, by_words, "the new model is in use");
                    target.is_next = false;
                } else if embedded_in_pass == 0 {
                    return Ok(0);
                }
            }
            if embedded > 0 {
                return Ok(embedded);
            }
        }
    }

    /// Embeds what the first file after `after` lacks that may be embedded.
    async fn embed_cold(&self, embedder: &Arc<dyn Embedder>, after: &mut Option<FileOf>) -> Result<usize> {
        let inner = &self.inner;
        loop {
            let (model, from) = (tag(embedder.model()), *after);
            let Some(awaiting) = off_thread(&inner.cold, move |cold| Ok(cold.awaiting(&model, from))).await?
            else {
                *after = None;
                return Ok(0);
            };
            *after = Some(awaiting.place);
            let allowed = inner.allowed(embedder.as_ref(), &awaiting.memories).await;
            let may = awaiting.memories.iter().zip(allowed).filter(|(_, allowed)| *allowed);
            let (ids, texts): (Vec<Uuid>, Vec<String>) =
                may.map(|(memory, _)| (memory.id().0, memory.embedded())).unzip();
            let mut meanings = HashMap::with_capacity(ids.len());
            for (ids, texts) in
                ids.chunks(LIMITS.upsert_memories_max).zip(texts.chunks(LIMITS.upsert_memories_max))
            {
                let vectors = vectors(embedder, texts).await?;
                meanings.extend(ids.iter().zip(vectors).filter_map(|(id, vector)| Some((*id, vector?))));
            }
            if meanings.is_empty() {
                continue;
            }
            let (embedded, model) = (meanings.len(), tag(embedder.model()));
            let _changing = inner.caches.changing(owners(&awaiting.memories));
            off_thread(&inner.cold, move |cold| cold.embedded(&awaiting, &model, meanings)).await?;
            return Ok(embedded);
        }
    }

    /// Embeds what may be embedded of a page.
    async fn embed_page(
        &self,
        embedder: &Arc<dyn Embedder>,
        target: &Target,
        points: &[Point],
    ) -> Result<usize> {
        let inner = &self.inner;
        let memories: Vec<Memory> = points.iter().filter_map(Point::memory).collect();
        let allowed = inner.allowed(embedder.as_ref(), &memories).await;
        let users = owners(&memories);
        let texts = memories.into_iter().zip(allowed).filter(|(_, allowed)| *allowed);
        let (ids, texts): (Vec<_>, Vec<_>) =
            texts.map(|(memory, _)| (memory.id(), memory.embedded())).unzip();
        if texts.is_empty() {
            return Ok(0);
        }
        let vectors = vectors(embedder, &texts).await?;
        let one = |((id, text), vector): ((_, _), Option<_>)| Some(Meaning { id, text, vector: vector? });
        let meanings: Vec<Meaning> = ids.into_iter().zip(texts).zip(vectors).filter_map(one).collect();
        let (embedded, inner, target) = (meanings.len(), Arc::clone(inner), target.clone());
        detached(async move {
            let _changing = inner.caches.changing(users);
            inner.collections.set_meanings(&target, meanings).await
        })
        .await?;
        Ok(embedded)
    }
}

impl Inner {
    /// The vectors of memories by the model of the collection in use, and that model. Memories go without where there
    /// is no such model, where it is away, or where their person did not agree to it. `known` has those of [`MiniLm`]
    /// that are there already.
    ///
    /// [`MiniLm`]: crate::MiniLm
    pub(super) async fn meanings(
        &self,
        memories: &[Memory],
        known: Vec<Option<Vec<f32>>>,
    ) -> Result<(Vec<Option<Vec<f32>>>, Model)> {
        let (live, _) = self.collections.targets().await;
        let mut meanings = vec![None; memories.len()];
        let Some(embedder) = self.embedders.of(&live.model) else { return Ok((meanings, live.model)) };
        if is_minilm(embedder.as_ref()) {
            meanings = known;
            meanings.resize(memories.len(), None);
        }
        let allowed = self.allowed(embedder.as_ref(), memories).await;
        let (places, texts): (Vec<usize>, Vec<String>) = memories
            .iter()
            .enumerate()
            .zip(allowed)
            .zip(&meanings)
            .filter(|((_, allowed), known)| *allowed && known.is_none())
            .map(|(((at, memory), _), _)| (at, memory.embedded()))
            .unzip();
        if texts.is_empty() {
            return Ok((meanings, live.model));
        }
        match embedder.embed(texts).await {
            Ok(vectors) => {
                for (at, vector) in places.into_iter().zip(vectors) {
                    if let Some(slot) = meanings.get_mut(at) {
                        *slot = Some(vector);
                    }
                }
            }
            Err(error) if passes(&error) => {
                tracing::warn!(%error, memories = memories.len(), "stored without a vector; embedded later");
            }
            Err(error) => return Err(error),
        }
        Ok((meanings, live.model))
    }

    /// Which of the memories the embedder may see: each person is asked for once.
    async fn allowed(&self, embedder: &dyn Embedder, memories: &[Memory]) -> Vec<bool> {
        let mut known = HashMap::new();
        let mut allowed = Vec::with_capacity(memories.len());
        for memory in memories {
            let user = &memory.user_id;
            let may = match known.get(user) {
                Some(may) => *may,
                None => self.embedders.may_see(embedder, user).await,
            };
            known.insert(user.clone(), may);
            allowed.push(may);
        }
        allowed
    }
}

/// The vectors of texts; one that the model does not take must not keep all others from it.
async fn vectors(embedder: &Arc<dyn Embedder>, texts: &[String]) -> Result<Vec<Option<Vec<f32>>>> {
    match embedder.embed(texts.to_vec()).await {
        Ok(vectors) => Ok(vectors.into_iter().map(Some).collect()),
        Err(error) if error.kind() == ErrorKind::Invalid => one_by_one(embedder, texts).await,
        Err(error) => Err(error),
    }
}

/// The vectors of those texts that the model takes.
async fn one_by_one(embedder: &Arc<dyn Embedder>, texts: &[String]) -> Result<Vec<Option<Vec<f32>>>> {
    let mut vectors = Vec::with_capacity(texts.len());
    for text in texts {
        match embedder.embed(vec![text.clone()]).await {
            Ok(mut embedded) => vectors.push(embedded.pop()),
            Err(error) if error.kind() == ErrorKind::Invalid => vectors.push(None),
            Err(error) => return Err(error),
        }
    }
    let refused = vectors.iter().filter(|vector| vector.is_none()).count();
    tracing::warn!(refused, "the embedding model does not take these memories; they are found by words");
    Ok(vectors)
}

/// Whether it is the model with which a labeller reads, here.
pub(super) fn is_minilm(embedder: &dyn Embedder) -> bool {
    *embedder.model() == Model::minilm() && !embedder.is_remote()
}

/// Whose memories they are.
fn owners(memories: &[Memory]) -> BTreeSet<UserId> {
    memories.iter().map(|memory| memory.user_id.clone()).collect()
}

/// Whether to go on without a vector: the model is away, or set wrongly, which must not stop what a person writes.
pub(super) fn passes(error: &Error) -> bool {
    matches!(error, Error::Remote { .. })
        || matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Overloaded)
}

/// Runs work to its end even if whoever waits for it goes away: none of its steps is left out.
pub(super) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| Error::Engine(error.to_string()))?
}
