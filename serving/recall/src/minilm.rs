//! all-MiniLM-L6-v2 on candle, on the CPU: text in, unit vectors of 384 numbers out.
//!
//! Reimers and Gurevych, *Sentence-BERT* (EMNLP 2019): mean of the last layer's token vectors over the attention mask,
//! then scaled to length 1, so that the dot product of two is their cosine. Texts are embedded in batches of similar
//! length, on blocking threads; a question waits for at most one batch of an import.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use candle_core::{D, DType, Device, Tensor};
use candle_transformers::models::bert::Config;
use tokenizers::{Encoding, Tokenizer, TruncationParams};
use tokio::sync::Semaphore;

use crate::layers::{Layers, STATES};
use crate::models::{CONFIG, MODEL_NAME, TOKENIZER, WEIGHTS};
use crate::{Error, LIMITS, Result};

/// Numbers in an embedding.
pub const DIMENSION: usize = 384;
/// Numbers that [`MiniLm::states`] gives a text.
pub const STATES_N: usize = STATES * DIMENSION;
/// What a batch is made into.
type Of = fn(&Loaded, &[&Encoding]) -> Result<Vec<Vec<f32>>>;
/// Tokens of a text that are read; the model was trained with so many, the rest is cut off.
const TOKENS_MAX: usize = 256;
/// Texts in one forward pass.
const BATCH_TEXTS: usize = 32;

/// The embedding model, loaded. Cloning it is cheap.
#[derive(Clone)]
pub struct MiniLm {
    loaded: Arc<Loaded>,
}

struct Loaded {
    model: Layers,
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
        // The file asks for padding to 128 tokens and a cut there; we pad each batch to its longest ourselves.
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(TruncationParams { max_length: TOKENS_MAX, ..TruncationParams::default() }))
            .map_err(|error| broken(TOKENIZER, &error))?;
        let model = Layers::load(&read(WEIGHTS)?, &config).map_err(|error| broken(WEIGHTS, &error))?;
        let loaded = Loaded { model, tokenizer, bulk: Semaphore::new(1), question: Semaphore::new(1) };
        Ok(Self { loaded: Arc::new(loaded) })
    }

    /// The model's name, kept with every point it made.
    #[must_use]
    pub fn name(&self) -> &'static str {
        MODEL_NAME
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
        for batch in by_length.chunks(BATCH_TEXTS) {
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

impl Loaded {
    fn encode(&self, texts: Vec<String>) -> Result<Vec<Encoding>> {
        self.tokenizer.encode_batch(texts, true).map_err(|error| Error::Embed(error.to_string()))
    }

    fn forward(&self, batch: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        let last = |[_, _, last]: [Tensor; STATES], mask: &Tensor| unit(&last, mask)?.to_vec2();
        self.pooled(batch, last).map_err(|error| Error::Embed(error.to_string()))
    }

    fn states(&self, batch: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        let all = |states: [Tensor; STATES], mask: &Tensor| {
            let units: Vec<Tensor> =
                states.iter().map(|state| unit(state, mask)).collect::<candle_core::Result<_>>()?;
            Tensor::cat(&units, 1)?.to_vec2()
        };
        self.pooled(batch, all).map_err(|error| Error::Embed(error.to_string()))
    }

    /// `[batch, longest]` tokens and mask in, what `pool` makes of their states out.
    fn pooled(
        &self,
        batch: &[&Encoding],
        pool: impl Fn([Tensor; STATES], &Tensor) -> candle_core::Result<Vec<Vec<f32>>>,
    ) -> candle_core::Result<Vec<Vec<f32>>> {
        let longest = batch.iter().map(|encoding| encoding.len()).max().unwrap_or(0);
        let mut ids = vec![0_u32; batch.len() * longest];
        let mut mask = vec![0_u32; batch.len() * longest];
        for (row, encoding) in batch.iter().enumerate() {
            let cells = ids.iter_mut().zip(mask.iter_mut()).skip(row * longest);
            for (id, (slot, seen)) in encoding.get_ids().iter().zip(cells) {
                (*slot, *seen) = (*id, 1);
            }
        }
        let shape = (batch.len(), longest);
        let ids = Tensor::from_vec(ids, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        pool(self.model.forward(&ids, &mask)?, &mask.to_dtype(DType::F32)?)
    }
}

/// The mean of the token states `[batch, longest, 384]` over the mask, scaled to length 1: `[batch, 384]`.
fn unit(states: &Tensor, mask: &Tensor) -> candle_core::Result<Tensor> {
    let sum = states.broadcast_mul(&mask.unsqueeze(D::Minus1)?)?.sum(1)?;
    let mean = sum.broadcast_div(&mask.sum_keepdim(1)?)?;
    let length = mean.sqr()?.sum_keepdim(1)?.sqrt()?;
    mean.broadcast_div(&length)
}
