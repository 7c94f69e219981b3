//! Text to vectors: what every embedding model has to do, and whose text it may see.

mod key;
mod minilm;
mod openai;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use crave_schemas::UserId;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::models::MODEL_NAME;
use crate::{Error, Result};

pub use key::Key;
pub use minilm::{DIMENSION, MiniLm, STATES_N};
pub use openai::{OpenAi, OpenAiOptions, Usage};

/// Largest dimension of a model.
pub const DIMENSION_MAX: usize = 8192;

/// A model and the length of its vectors. A collection has one, and only vectors of equal models are ever compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Model {
    name: String,
    dimension: usize,
}

impl Model {
    /// Two models are equal where both are.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that is empty or above 256 bytes, or a dimension out of 1 to [`DIMENSION_MAX`].
    pub fn new(name: impl Into<String>, dimension: usize) -> Result<Self> {
        let name = name.into();
        if name.trim().is_empty() || name.len() > 256 {
            return Err(Error::invalid("model", "must have 1 to 256 bytes"));
        }
        if !(1..=DIMENSION_MAX).contains(&dimension) {
            return Err(Error::invalid("dimension", format!("must be 1 to {DIMENSION_MAX}")));
        }
        Ok(Self { name, dimension })
    }

    /// [`MiniLm`]'s, which a collection has that was made while no model was there.
    #[must_use]
    pub fn minilm() -> Self {
        Self { name: MODEL_NAME.to_owned(), dimension: DIMENSION }
    }

    /// What the model is called, by whoever serves it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Numbers in one of its vectors.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Turns texts into unit vectors.
///
/// A failure of kind [`crate::ErrorKind::Unavailable`] or [`crate::ErrorKind::Overloaded`] passes: memories are then
/// stored without a vector, found by their words, and embedded later.
#[async_trait]
pub trait Embedder: fmt::Debug + Send + Sync {
    /// Whose vectors come out.
    fn model(&self) -> &Model;

    /// Whether texts leave this machine for it: then each person must have agreed.
    fn is_remote(&self) -> bool;

    /// Embeds `texts` (at most [`crate::LIMITS`]`.upsert_memories_max`), in their order: a vector of length 1 each.
    ///
    /// # Errors
    /// [`Error::Invalid`] for too many texts, [`Error::Embed`] or [`Error::Remote`] when the model fails.
    async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>>;

    /// Embeds one question, for somebody who waits: without queueing behind an import, and without retries.
    ///
    /// # Errors
    /// As [`Self::embed`].
    async fn embed_question(&self, question: String) -> Result<Vec<f32>>;
}

/// Asks whether a person agreed that their texts are sent to a remote model.
pub type Consent = Arc<dyn Fn(UserId) -> BoxFuture<'static, bool> + Send + Sync>;

/// The models that can be used, and for whom.
#[derive(Clone, Default)]
pub struct Embedders {
    chosen: Option<Arc<dyn Embedder>>,
    others: Vec<Arc<dyn Embedder>>,
    consent: Option<Consent>,
}

impl fmt::Debug for Embedders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedders")
            .field("chosen", &self.chosen)
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

impl Embedders {
    /// Memories shall be embedded by `chosen`; without it search is by words alone.
    #[must_use]
    pub fn new(chosen: Option<Arc<dyn Embedder>>) -> Self {
        Self { chosen, others: Vec::new(), consent: None }
    }

    /// Another that may have made the vectors of an older collection: searches use it until all is embedded anew.
    #[must_use]
    pub fn or(mut self, other: Arc<dyn Embedder>) -> Self {
        self.others.push(other);
        self
    }

    /// Who agreed to a remote model; without this nobody did.
    #[must_use]
    pub fn consent(mut self, consent: Consent) -> Self {
        self.consent = Some(consent);
        self
    }

    /// The one by which memories shall be embedded.
    pub(crate) fn chosen(&self) -> Option<&Arc<dyn Embedder>> {
        self.chosen.as_ref()
    }

    /// The one that makes vectors of `model`.
    pub(crate) fn of(&self, model: &Model) -> Option<&Arc<dyn Embedder>> {
        self.chosen.iter().chain(&self.others).find(|embedder| embedder.model() == model)
    }

    /// Whether it may see what this person wrote.
    pub(crate) async fn may_see(&self, embedder: &dyn Embedder, user: &UserId) -> bool {
        match &self.consent {
            _ if !embedder.is_remote() => true,
            Some(consent) => consent(user.clone()).await,
            None => false,
        }
    }
}
