//! all-MiniLM-L6-v2 on candle's matrix products, on the CPU: text in, unit vectors of 384 numbers out.
//!
//! Reimers and Gurevych, *Sentence-BERT* (EMNLP 2019): mean of the last layer's token vectors over the attention mask,
//! then scaled to length 1, so that the dot product of two is their cosine. The pass is our own ([`encoder`]): texts of a
//! batch lie one after the other, without padding. Batches run on blocking threads; a question waits for at most one of
//! an import.

mod encoder;
mod ops;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::Config;
use tokenizers::{Encoding, Tokenizer, TruncationParams};
use tokio::sync::Semaphore;

use self::encoder::{Encoder, STATES};
use super::{Embedder, Model};
use crate::models::{self, CONFIG, TOKENIZER, WEIGHTS};
use crate::{Error, LIMITS, Result};

/// Numbers in an embedding.
pub const DIMENSION: usize = 384;
/// Numbers that [`MiniLm::states`] gives a text.
pub const STATES_N: usize = STATES * DIMENSION;
/// What a batch is made into.
type Of = fn(&Loaded, &[&Encoding]) -> Result<Vec<Vec<f32>>>;
/// Tokens of a text that are read; the model was trained with so many, the rest is cut off.
const TOKENS_MAX: usize = 256;
/// Tokens in one forward pass: enough to fill the matrix products, few enough that a question does not wait long.
const BATCH_TOKENS: usize = 1024;

/// The embedding model, loaded. Cloning it is cheap.
#[derive(Clone)]
pub struct MiniLm {
    loaded: Arc<Loaded>,
}

struct Loaded {
    name: Model,
    model: Encoder,
    tokenizer: Tokenizer,
    /// One import and one question compute at a time; candle spreads each over the cores.
    bulk: Semaphore,
    question: Semaphore,
}

impl fmt::Debug for MiniLm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MiniLm").field(&self.name()).finish()
    }
}

impl MiniLm {
    /// Loads the model's three files from `dir`; see [`crate::models::pull`]. Blocks for about a tenth of a second.
    ///
    /// # Errors
    /// [`Error::ModelMissing`] when a file is not there, [`Error::ModelBroken`] when they do not make this model.
    pub fn load(dir: &Path) -> Result<Self> {
        let read = |name: &str| match std::fs::read(dir.join(name)) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::ModelMissing { path: dir.to_owned() })
            }
            Err(error) => Err(Error::io("read", dir.join(name), error)),
        };
        let broken = |what: &str, error: &dyn fmt::Display| Error::ModelBroken {
            path: dir.to_owned(),
            why: format!("{what}: {error}"),
        };
        let config: Config =
            serde_json::from_slice(&read(CONFIG)?).map_err(|error| broken(CONFIG, &error))?;
        if config.hidden_size != DIMENSION {
            return Err(broken(
                CONFIG,
                &format!("hidden size {} instead of {DIMENSION}", config.hidden_size),
            ));
        }
        let mut tokenizer =
            Tokenizer::from_bytes(read(TOKENIZER)?).map_err(|error| broken(TOKENIZER, &error))?;
        // The file asks for padding to 128 tokens and a cut there; nothing is padded here.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(TruncationParams { max_length: TOKENS_MAX, ..TruncationParams::default() }))
            .map_err(|error| broken(TOKENIZER, &error))?;
        let weights = VarBuilder::from_buffered_safetensors(read(WEIGHTS)?, DType::F32, &Device::Cpu)
            .map_err(|error| broken(WEIGHTS, &error))?;
        let model = Encoder::load(&weights, &config).map_err(|error| broken(WEIGHTS, &error))?;
        let (bulk, question) = (Semaphore::new(1), Semaphore::new(1));
        Ok(Self { loaded: Arc::new(Loaded { name: Model::minilm(), model, tokenizer, bulk, question }) })
    }

    /// Loads the model from a folder of models, where it is there; it blocks as [`Self::load`] does.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_if_present(models: &Path) -> Result<Option<Self>> {
        models::is_present(models).then(|| Self::load(&models::folder(models))).transpose()
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.loaded.name.name()
    }

    /// Embeds `texts`, in their order: one unit vector of [`DIMENSION`] numbers each.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more texts than an upsert may have, [`Error::Embed`] when the model fails.
    pub async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        self.batched(texts, Loaded::forward).await
    }

    /// What the model knows of `texts` at its start, half-way and at its end: [`STATES_N`] numbers each, three unit
    /// vectors, of which the last is that of [`Self::embed`].
    ///
    /// # Errors
    /// As [`Self::embed`].
    pub async fn states(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        self.batched(texts, Loaded::states).await
    }

    async fn batched(&self, texts: Vec<String>, of: Of) -> Result<Vec<Vec<f32>>> {
        if texts.len() > LIMITS.upsert_memories_max {
            let max = LIMITS.upsert_memories_max;
            return Err(Error::invalid("texts", format!("may be at most {max} at a time")));
        }
        let encodings = self.on_a_blocking_thread(move |loaded| loaded.encode(texts)).await?;
        let mut by_length: Vec<usize> = (0..encodings.len()).collect();
        by_length.sort_by_key(|at| encodings.get(*at).map_or(0, Encoding::len));
        let encodings = Arc::new(encodings);
        let mut vectors = vec![Vec::new(); encodings.len()];
        let tokens = |at: &usize| encodings.get(*at).map_or(0, Encoding::len);
        for batch in batches(&by_length, tokens) {
            let permit = self.loaded.bulk.acquire().await.map_err(|error| Error::Embed(error.to_string()))?;
            let (all, picked) = (Arc::clone(&encodings), batch.to_vec());
            let embedded = self
                .on_a_blocking_thread(move |loaded| {
                    let batch: Vec<&Encoding> = picked.iter().filter_map(|at| all.get(*at)).collect();
                    of(loaded, &batch)
                })
                .await?;
            drop(permit);
            for (at, vector) in batch.iter().zip(embedded) {
                if let Some(slot) = vectors.get_mut(*at) {
                    *slot = vector;
                }
            }
        }
        Ok(vectors)
    }

    /// Embeds one question, without queueing behind an import.
    ///
    /// # Errors
    /// [`Error::Embed`] when the model fails.
    pub async fn embed_one(&self, text: String) -> Result<Vec<f32>> {
        let _permit =
            self.loaded.question.acquire().await.map_err(|error| Error::Embed(error.to_string()))?;
        let mut vectors = self
            .on_a_blocking_thread(move |loaded| {
                let encodings = loaded.encode(vec![text])?;
                loaded.forward(&encodings.iter().collect::<Vec<_>>())
            })
            .await?;
        vectors.pop().ok_or_else(|| Error::Embed("no vector came out".to_owned()))
    }

    async fn on_a_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Loaded) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let loaded = Arc::clone(&self.loaded);
        tokio::task::spawn_blocking(move || work(&loaded))
            .await
            .map_err(|error| Error::Embed(error.to_string()))?
    }
}

#[async_trait]
impl Embedder for MiniLm {
    fn model(&self) -> &Model {
        &self.loaded.name
    }

    fn is_remote(&self) -> bool {
        false
    }

    async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        Self::embed(self, texts).await
    }

    async fn embed_question(&self, question: String) -> Result<Vec<f32>> {
        self.embed_one(question).await
    }
}

impl Loaded {
    fn encode(&self, texts: Vec<String>) -> Result<Vec<Encoding>> {
        self.tokenizer.encode_batch(texts, true).map_err(|error| Error::Embed(error.to_string()))
    }

    fn forward(&self, batch: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        let ids: Vec<&[u32]> = batch.iter().map(|encoding| encoding.get_ids()).collect();
        self.model.embed(&ids).map_err(|error| Error::Embed(error.to_string()))
    }

    fn states(&self, batch: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        let ids: Vec<&[u32]> = batch.iter().map(|encoding| encoding.get_ids()).collect();
        self.model.states(&ids).map_err(|error| Error::Embed(error.to_string()))
    }
}

/// Runs of `order` with at most [`BATCH_TOKENS`] together, or of one text.
fn batches(order: &[usize], tokens: impl Fn(&usize) -> usize) -> Vec<&[usize]> {
    let (mut batches, mut rest) = (Vec::new(), order);
    while !rest.is_empty() {
        let mut sum = 0;
        let fit = rest.iter().take_while(|at| {
            sum += tokens(at);
            sum <= BATCH_TOKENS
        });
        let (batch, after) = rest.split_at(fit.count().clamp(1, rest.len()));
        batches.push(batch);
        rest = after;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_all_texts_in_order_and_few_tokens() {
        let lengths = [3, 5, 1000, 20, 1024, 4000, 1];
        let order: Vec<usize> = (0..lengths.len()).collect();
        let found = batches(&order, |at| lengths[*at]);
        assert_eq!(found, [&[0, 1, 2][..], &[3], &[4], &[5], &[6]]);
        assert!(batches(&[], |_| 1).is_empty());
    }
}
