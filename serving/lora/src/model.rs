//! A Llama-family model (Llama 2 and 3, Mistral, Qwen2.5) from a Hugging Face folder, run over mixed batches.
//!
//! One pass takes rows of different requests, lengths, positions and adapters as one flat batch of tokens
//! `[tokens, hidden]`: there is no padding, and prefill and decode are the same pass.

mod attend;
mod batch;
mod config;
mod kv;
mod layer;
mod rope;
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
use rope::Rope;

/// A loaded base model.
#[derive(Debug)]
pub struct Model {
    config: ModelConfig,
    dtype: DType,
    path: PathBuf,
    sha256: String,
    /// `[vocab, hidden]`
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    /// `[vocab, hidden]`
    head: Tensor,
    rope: Rope,
}

impl Model {
    /// Loads `config.json` and the safetensors files of `dir` into memory as `dtype`, f32 or bf16. Blocks.
    ///
    /// On a CPU f32 is the faster one: candle widens a bf16 matrix to f32 for each product.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Model`], which name the file and tensor.
    pub fn load(dir: &Path, dtype: DType) -> Result<Self> {
        if !matches!(dtype, DType::F32 | DType::BF16) {
            return Err(Error::invalid("dtype", format!("{dtype:?} is not served; f32 and bf16 are")));
        }
        let config = ModelConfig::read(dir)?;
        let broken = |why: String| Error::model(dir, why);
        let mut weights = Weights::open_model(dir).map_err(broken)?;
        let table = [config.vocab, config.hidden];
        let embedding = weights.get("model.embed_tokens.weight", &table, dtype).map_err(broken)?;
        let layers = (0..config.layers)
            .map(|number| Layer::load(&mut weights, &config, number, dtype))
            .collect::<Result<Vec<_>, String>>()
            .map_err(broken)?;
        let norm = weights.get("model.norm.weight", &[config.hidden], dtype).map_err(broken)?;
        let head = match config.tied {
            true => embedding.clone(),
            false => weights.get("lm_head.weight", &table, dtype).map_err(broken)?,
        };
        let rope = Rope::new(&config, dtype, &Device::Cpu)?;
        let sha256 = weights.sha256();
        Ok(Self { config, dtype, path: dir.to_owned(), sha256, embedding, layers, norm, head, rope })
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

    /// SHA-256 over the names and stored bytes of its tensors, in hex: what an adapter may name as its base.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
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
        let config = &self.config;
        let bounds = Bounds {
            vocab: config.vocab,
            positions: config.positions,
            blocks: cache.blocks,
            block_tokens: cache.block_tokens,
            adapters: adapters.len(),
        };
        check(rows, &bounds)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
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
        let positions = Tensor::new(positions, &Device::Cpu)?;
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
        let mut x = self.embedding.index_select(&Tensor::new(tokens, &Device::Cpu)?, 0)?;
        for (layer, (keys, values)) in self.layers.iter().zip(&cache.layers) {
            x = layer.forward(&x, keys, values, &step)?;
        }
        let mut logits = vec![None; rows.len()];
        if wanted.is_empty() {
            return Ok(logits);
        }
        let last: Vec<u32> = wanted.iter().map(|(_, token)| *token).collect();
        let x = x.index_select(&Tensor::new(last, &Device::Cpu)?, 0)?;
        let x = rms_norm(&x, &self.norm, config.rms_eps as f32)?;
        let out = x.matmul(&self.head.t()?)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        for ((number, _), row) in wanted.into_iter().zip(out) {
            logits[number] = Some(row);
        }
        Ok(logits)
    }
}
