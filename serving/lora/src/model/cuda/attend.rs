//! Attention over the paged cache.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::CudaStorageSlice;
use candle_core::{CpuStorage, CudaStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::launch;
use crate::model::attend::{Attend, Seen};

/// Width of a head that the kernel has room for.
const DIM_MAX: usize = 256;

/// Queries `[tokens, heads, head_dim]` over keys and values `[slots, kv_heads, head_dim]`, all f32 or all bf16 on CUDA;
/// the result has the queries' shape.
/// Fails when shapes or types do not fit, a position has no block or a block lies beyond the cache, or the driver fails.
pub(in crate::model) fn attend(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    cache: &Attend,
) -> Result<Tensor> {
    let (tokens, heads, dim) = queries.dims3()?;
    let (slots, kv_heads, key_dim) = keys.dims3()?;
    if values.dims() != keys.dims()
        || key_dim != dim
        || dim > DIM_MAX
        || kv_heads == 0
        || heads % kv_heads != 0
    {
        bail!("attention: {:?} does not fit {:?} and {:?}", queries.shape(), keys.shape(), values.shape());
    }
    let block_tokens = cache.block_tokens;
    let within = |seen: &Seen| {
        let table = cache.tables.get(seen.row);
        table.is_some_and(|table| seen.position < table.len() * block_tokens)
    };
    if cache.tokens.len() != tokens || !cache.tokens.iter().all(within) {
        bail!("attention: a token has no block, or there are not {tokens} of them");
    }
    if cache.tables.iter().flatten().any(|block| (*block as usize + 1) * block_tokens > slots) {
        bail!("attention: a block lies beyond the cache");
    }
    queries.apply_op3_no_bwd(keys, values, &Op { cache })
}

struct Op<'a> {
    cache: &'a Attend,
}

impl CustomOp3 for Op<'_> {
    fn name(&self) -> &'static str {
        "paged-attention"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("{} runs on CUDA", self.name())
    }

    fn cuda_fwd(
        &self,
        queries: &CudaStorage,
        query_layout: &Layout,
        keys: &CudaStorage,
        key_layout: &Layout,
        values: &CudaStorage,
        value_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let device = queries.device().clone();
        let (tokens, heads, dim) = query_layout.shape().dims3()?;
        let (_, kv_heads, _) = key_layout.shape().dims3()?;
        let (Some(q), Some(k), Some(v)) = (
            query_layout.contiguous_offsets(),
            key_layout.contiguous_offsets(),
            value_layout.contiguous_offsets(),
        ) else {
            bail!("{}: an argument is not contiguous", self.name())
        };
        let Attend { tokens: seen, tables, block_tokens, window, .. } = self.cache;
        let table_blocks = tables.iter().map(Vec::len).max().unwrap_or_default();
        let mut table = vec![0_i32; tables.len() * table_blocks];
        for (to, from) in table.chunks_exact_mut(table_blocks.max(1)).zip(tables) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from as i32);
        }
        let seen: Vec<i32> = seen.iter().flat_map(|seen| [seen.row as i32, seen.position as i32]).collect();
        let (seen, table) = (device.clone_htod(&seen)?, device.clone_htod(&table)?);
        let shape = launch::Shape {
            table_blocks: table_blocks as i32,
            block_tokens: *block_tokens as i32,
            kv_heads: kv_heads as i32,
            dim: dim as i32,
            window: window.map_or(0, |window| window as i32),
            scale: 1.0 / (dim as f32).sqrt(),
        };
        let grid = launch::Grid { threads: 128, x: tokens as u32, y: heads as u32 };
        macro_rules! run {
            ($kind:ident, $name:literal, $queries:ident, $keys:ident, $values:ident) => {{
                let mut out = device.alloc_zeros(tokens * heads * dim)?;
                let (q, k, v) = ($queries.slice(q.0..q.1), $keys.slice(k.0..k.1), $values.slice(v.0..v.1));
                launch::attend(&device, ($name, grid), &q, &k, &v, &mut out, &seen, &table, shape)?;
                CudaStorageSlice::$kind(out)
            }};
        }
        let slice = match (&queries.slice, &keys.slice, &values.slice) {
            (CudaStorageSlice::F32(q_), CudaStorageSlice::F32(k_), CudaStorageSlice::F32(v_)) => {
                run!(F32, "attend_f32", q_, k_, v_)
            }
            (CudaStorageSlice::BF16(q_), CudaStorageSlice::BF16(k_), CudaStorageSlice::BF16(v_)) => {
                run!(BF16, "attend_bf16", q_, k_, v_)
            }
            _ => bail!("{}: queries, keys and values must all be f32 or all bf16", self.name()),
        };
        Ok((CudaStorage { slice, device }, Shape::from((tokens, heads, dim))))
    }
}
