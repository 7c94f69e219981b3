//! A Llama-family model (Llama 2 and 3, Mistral, Qwen2.5) from a Hugging Face folder or a GGUF file, run over mixed batches.
//!
//! One pass takes rows of different requests, lengths, positions and adapters as one flat batch of tokens
//! `[tokens, hidden]`: there is no padding, and prefill and decode are the same pass.

mod attend;
mod batch;
mod config;
#[cfg(feature = "cuda")]
mod cuda;
pub(crate) mod gguf;
mod kernel;
mod kv;
mod layer;
mod matrix;
mod rope;
mod source;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::ops::rms_norm;

pub use batch::Row;
pub use config::{ModelConfig, RopeScaling};
pub use kv::KvCache;
pub(crate) use weights::Weights;

use crate::adapter::Adapter;
use crate::{Error, Result};
use attend::{Attend, Seen};
use batch::{Bounds, arrange, check, writes};
use layer::{Layer, Step};
use matrix::Matrix;
use rope::Rope;
use source::Source;

/// A loaded base model.
#[derive(Debug)]
pub struct Model {
    config: ModelConfig,
    dtype: DType,
    device: Device,
    path: PathBuf,
    sha256: String,
    /// `[vocab, hidden]`
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Tensor,
    /// `[vocab, hidden]`
    head: Matrix,
    rope: Rope,
}

impl Model {
    /// Loads the model in `dir` into memory: `config.json` and safetensors files as `dtype`, f32 or bf16; or one `.gguf`
    /// file, whose quantised matrices stay as they are while all else is f32. Blocks.
    ///
    /// On a CPU f32 is faster than bf16: candle widens a bf16 matrix to f32 for each product.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Model`], which name the file and tensor.
    pub fn load(dir: &Path, dtype: DType) -> Result<Self> {
        Self::load_on(dir, dtype, &Device::Cpu)
    }

    /// As [`Model::load`], into the memory of `device`; the cache must lie there too. CUDA needs the feature `cuda`.
    ///
    /// # Errors
    /// Those of [`Model::load`].
    pub fn load_on(dir: &Path, dtype: DType, device: &Device) -> Result<Self> {
        if !matches!(dtype, DType::F32 | DType::BF16) {
            return Err(Error::invalid("dtype", format!("{dtype:?} is not served; f32 and bf16 are")));
        }
        let broken = |why: String| Error::model(dir, why);
        let (mut source, config) = Source::open(dir, device)?;
        let table = [config.vocab, config.hidden];
        let embedding = source.matrix("model.embed_tokens.weight", table, dtype).map_err(broken)?;
        let layers = (0..config.layers)
            .map(|number| Layer::load(&mut source, &config, number, dtype))
            .collect::<Result<Vec<_>, String>>()
            .map_err(broken)?;
        let norm = source.vector("model.norm.weight", config.hidden, dtype).map_err(broken)?;
        let head = match config.tied {
            true => embedding.clone(),
            false => source.matrix("lm_head.weight", table, dtype).map_err(broken)?,
        };
        let divisors = source.rope_divisors(config.head_dim / 2).map_err(broken)?;
        let rope = Rope::new(&config, divisors.as_deref(), dtype, device)?;
        let sha256 = source.finish().map_err(broken)?;
        let (device, path) = (device.clone(), dir.to_owned());
        Ok(Self { config, dtype, device, path, sha256, embedding, layers, norm, head, rope })
    }

    /// Its shape.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The type of its weights, cache and adapters.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where its weights, cache and adapters lie.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// SHA-256 over the names and stored bytes of its tensors, in hex: what an adapter may name as its base.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Bytes of its matrices in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let head = if self.config.tied { 0 } else { self.head.bytes() };
        self.embedding.bytes() + head + self.layers.iter().map(Layer::bytes).sum::<usize>()
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the model is called: the last part of the name in its config, else its folder's name.
    #[must_use]
    pub fn name(&self) -> String {
        let named = self.config.name.as_deref().map(Path::new).and_then(Path::file_name);
        named
            .or_else(|| self.path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// Runs `rows` in one pass: writes their keys and values into `cache` and returns, for each row that wants them,
    /// the logits after its last token, `[vocab]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a row out of bounds, before anything is written; [`Error::Compute`] when candle fails.
    pub fn forward(
        &self,
        rows: &[Row],
        adapters: &[Arc<Adapter>],
        cache: &mut KvCache,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let bounds = Bounds {
            vocab: self.config.vocab,
            positions: self.config.positions,
            blocks: cache.blocks,
            block_tokens: cache.block_tokens,
            adapters: adapters.len(),
        };
        check(rows, &bounds)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        // On a thread of the pool: from any other, each of a pass's hundreds of parallel steps hands over and waits twice.
        rayon::scope(|_| self.pass(rows, adapters, cache))
    }

    /// [`Model::forward`] of rows that were checked.
    fn pass(
        &self,
        rows: &[Row],
        adapters: &[Arc<Adapter>],
        cache: &mut KvCache,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let config = &self.config;
        let (order, segments) = arrange(rows);
        let mut tokens = Vec::new();
        let mut seen = Vec::new();
        let mut all_writes = Vec::new();
        // Row number and flat index of the last token of each row whose logits are wanted.
        let mut wanted = Vec::new();
        for (at, number) in order.iter().enumerate() {
            let row = &rows[*number];
            all_writes.extend(writes(row, tokens.len(), cache.block_tokens));
            seen.extend((0..row.tokens.len()).map(|token| Seen { row: at, position: row.position + token }));
            tokens.extend_from_slice(&row.tokens);
            if row.logits {
                wanted.push((*number, tokens.len() as u32 - 1));
            }
        }
        let positions: Vec<u32> = seen.iter().map(|seen| seen.position as u32).collect();
        let positions = Tensor::new(positions, &self.device)?;
        let step = Step {
            cos: self.rope.cos.index_select(&positions, 0)?,
            sin: self.rope.sin.index_select(&positions, 0)?,
            segments,
            adapters,
            writes: all_writes,
            attend: Attend {
                tokens: seen,
                tables: order.iter().map(|number| rows[*number].blocks.clone()).collect(),
                block_tokens: cache.block_tokens,
                heads: config.heads,
                kv_heads: config.kv_heads,
                head_dim: config.head_dim,
                window: config.window,
            },
        };
        let mut x = self.embedding.rows(&Tensor::new(tokens, &self.device)?)?;
        for (layer, (keys, values)) in self.layers.iter().zip(&cache.layers) {
            x = layer.forward(&x, keys, values, &step)?;
        }
        let mut logits = vec![None; rows.len()];
        if wanted.is_empty() {
            return Ok(logits);
        }
        let last: Vec<u32> = wanted.iter().map(|(_, token)| *token).collect();
        let x = x.index_select(&Tensor::new(last, &self.device)?, 0)?;
        let x = rms_norm(&x, &self.norm, config.rms_eps as f32)?;
        let out = self.head.product(&x)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        for ((number, _), row) in wanted.into_iter().zip(out) {
            logits[number] = Some(row);
        }
        Ok(logits)
    }
}
