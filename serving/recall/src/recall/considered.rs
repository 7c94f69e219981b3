//! What a search considers: the question read, and the store asked, where neither is kept from an earlier search.

use std::sync::Arc;

use crave_schemas::UserId;

use super::embedding::{is_minilm, passes};
use super::{Recall, SearchOptions};
use crate::asked::Asked;
use crate::cache::{Found, Question, Reader, Sought};
use crate::candidates::{Candidates, Sources, Wanted, candidates, roster};
use crate::cold::Roster;
use crate::embed::Model;
use crate::labelled::{Labeller, Read};
use crate::stage::Stage;
use crate::store::{Collection, Scope};
use crate::{LIMITS, Result};

impl Recall {
    /// What the labeller reads in a question.
    pub(super) async fn read_question(
        &self,
        user: &UserId,
        query: &str,
        labeller: &Labeller,
    ) -> Result<Arc<Read>> {
        let caches = &self.inner.caches;
        let reader = Reader::Labels(labeller.version());
        let question = Question { user: user.clone(), text: query.to_owned(), reader };
        if let Some(read) = caches.questions.get(&question, |_| true) {
            return Ok(read);
        }
        let before = caches.generation(user);
        let read = Arc::new(labeller.read(query).await?);
        caches.keep_question(&question, &read, before);
        Ok(read)
    }

    /// The question's vector by `model`. Without one, the search is by words alone. `known` is that of
    /// [`crate::MiniLm`], where it is there already.
    async fn embed_question(
        &self,
        user: &UserId,
        model: &Model,
        query: &str,
        known: Option<&Arc<Vec<f32>>>,
    ) -> Result<Option<Arc<Vec<f32>>>> {
        let inner = &self.inner;
        let Some(embedder) = inner.embedders.of(model) else { return Ok(None) };
        if !inner.embedders.may_see(embedder.as_ref(), user).await {
            return Ok(None);
        }
        if let Some(known) = known.filter(|_| is_minilm(embedder.as_ref())) {
            return Ok(Some(Arc::clone(known)));
        }
        let reader = Reader::Model(model.clone());
        let question = Question { user: user.clone(), text: query.to_owned(), reader };
        if let Some(read) = inner.caches.questions.get(&question, |_| true) {
            return Ok(read.meaning.clone());
        }
        let before = inner.caches.generation(user);
        let vector = match embedder.embed_question(query.to_owned()).await {
            Ok(vector) => Arc::new(vector),
            Err(error) if passes(&error) => {
                tracing::warn!(%error, "a question is searched by its words alone");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let read = Arc::new(Read { meaning: Some(Arc::clone(&vector)), ..Read::default() });
        inner.caches.keep_question(&question, &read, before);
        Ok(Some(vector))
    }

    /// The candidates of a question, with its vector by [`crate::MiniLm`] where that is `known`.
    pub(super) async fn considered(
        &self,
        user: &UserId,
        query: &str,
        asked: &Asked,
        known: Option<&Arc<Vec<f32>>>,
        options: &SearchOptions,
    ) -> Result<Arc<Candidates>> {
        let narrow = options.stages.has(Stage::Depth) && options.k <= 10;
        let limit = if narrow { asked.depth(LIMITS.hits_max) } else { LIMITS.hits_max };
        let as_of = options.as_of;
        let (kinds, from, until) = (options.kinds.clone(), options.from, options.until);
        let scope = Scope { kinds, from, until, as_of: Some(as_of) };
        let inner = &self.inner;
        loop {
            // Before anything of the person is read.
            let generation = inner.caches.generation(user);
            let (live, _) = inner.collections.targets().await;
            let meaning = match options.stages.has(Stage::Dense) {
                true => self.embed_question(user, &live.model, query, known).await?,
                false => None,
            };
            let has_cold = inner.cold.has(user);
            let roster = roster(&inner.cold, user).await?;
            let cold = has_cold.then_some(&roster);
            let wanted = Wanted {
                query,
                asked,
                weights: &options.weights,
                meaning,
                scope: &scope,
                limit,
                stages: options.stages,
                span: roster.span(),
            };
            let sought = self.keeps.then(|| Sought::new(user, &live.model, &wanted));
            if let Some(sought) = &sought {
                let holds = |found: &Found| found.holds(as_of, inner.caches.generation(user), cold);
                if let Some(found) = inner.caches.candidates.get(sought, holds) {
                    return Ok(Arc::clone(&found.candidates));
                }
            }
            let collection = inner.collections.live().await;
            // Another model may have taken over while the question was embedded.
            if *collection.model() != live.model {
                continue;
            }
            let sources = Sources {
                collection: &*collection,
                cold: &inner.cold,
                roster: &roster,
                lexical: &inner.lexical,
                counts: &inner.words,
            };
            let last = async {
                match sought {
                    Some(_) => is_last(&*collection, user, &scope, &roster).await,
                    None => Ok(false),
                }
            };
            let (candidates, is_last) = tokio::try_join!(candidates(&sources, user, &wanted), last)?;
            let candidates = Arc::new(candidates);
            if let Some(sought) = sought {
                let roster = cold.map(Arc::downgrade);
                let found = Found { candidates: Arc::clone(&candidates), as_of, is_last, generation, roster };
                inner.caches.keep_candidates(&sought, found, generation);
            }
            return Ok(candidates);
        }
    }
}

/// Whether nothing of the person is left out of the scope only because it had not happened yet.
async fn is_last(collection: &dyn Collection, user: &UserId, scope: &Scope, roster: &Roster) -> Result<bool> {
    let Some(later) = scope.later() else { return Ok(true) };
    if roster.span().is_some_and(|(oldest, newest)| !later.misses(oldest, newest)) {
        return Ok(false);
    }
    let (some, _) = collection.within(Some(user), &later, None, 1).await?;
    Ok(some.is_empty())
}
