//! The paged key-value cache: one pool of blocks for all rows, written in place.

use candle_core::{DType, Device, Tensor};

use super::config::ModelConfig;
use crate::Result;

/// Keys and values of `blocks · block_tokens` positions, for every layer. Which row owns which block is the caller's
/// book; a block is not cleared when it changes hands, since a row reads only positions that it has written.
#[derive(Debug)]
pub struct KvCache {
    /// A layer's keys and values, `[blocks · block_tokens, kv_heads, head_dim]` each.
    pub(crate) layers: Vec<(Tensor, Tensor)>,
    pub(crate) block_tokens: usize,
    pub(crate) blocks: usize,
}

impl KvCache {
    /// Allocates the pool, zeroed.
    ///
    /// # Errors
    /// [`crate::Error::Compute`] when the memory is not to be had.
    pub fn new(config: &ModelConfig, dtype: DType, blocks: usize, block_tokens: usize) -> Result<Self> {
        Self::new_on(config, dtype, blocks, block_tokens, &Device::Cpu)
    }

    /// As [`KvCache::new`], in the memory of `device`.
    ///
    /// # Errors
    /// Those of [`KvCache::new`].
    pub fn new_on(
        config: &ModelConfig,
        dtype: DType,
        blocks: usize,
        block_tokens: usize,
        device: &Device,
    ) -> Result<Self> {
        let shape = (blocks * block_tokens, config.kv_heads, config.head_dim);
        let layers = (0..config.layers)
            .map(|_| Ok((Tensor::zeros(shape, dtype, device)?, Tensor::zeros(shape, dtype, device)?)))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self { layers, block_tokens, blocks })
    }

    /// Blocks in the pool.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Positions in a block.
    #[must_use]
    pub fn block_tokens(&self) -> usize {
        self.block_tokens
    }

    /// Bytes that one block takes over all layers.
    #[must_use]
    pub fn block_bytes(config: &ModelConfig, dtype: DType, block_tokens: usize) -> usize {
        2 * config.layers * block_tokens * config.kv_heads * config.head_dim * dtype.size_in_bytes()
    }
}
