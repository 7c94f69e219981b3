//! y += s·B(A·x) in place, for the rows of every adapter of a batch at once.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::CudaStorageSlice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr};
use candle_core::{CpuStorage, CudaDevice, CudaStorage, InplaceOp2, Layout, Result, Storage, Tensor, bail};

use super::launch::{Grid, expand, shrink};

/// Tokens `start .. start + len` of a batch, and their adapter.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// `[rank, inputs]`, contiguous, in x's type.
    pub(super) a: Tensor,
    /// `[rank, outputs]`, contiguous, in x's type.
    pub(super) b: Tensor,
    /// s.
    pub(super) scale: f32,
    /// The first of its tokens.
    pub(super) start: usize,
    /// How many.
    pub(super) len: usize,
}

/// Tokens up to which the matrix-vector kernels run: beyond, a tile of tokens shares what it reads.
const DECODE_TOKENS_MAX: usize = 64;
/// Tokens of a tile; as in the kernel.
const TILE: usize = 16;
/// Outputs of a block of `sgmv_expand`; as in the kernel.
const DEPTH: usize = 64;
/// K that a block of a shrink kernel should have at least.
const SPLIT_MIN: usize = 256;

/// Adds every segment's change to `y`, `[tokens, outputs]`, from `x`, `[tokens, inputs]`, both f32 or both bf16 on CUDA.
/// Segments lie in order and do not overlap.
/// Fails when shapes or types do not fit, a segment lies beyond the batch, or the driver fails.
pub(super) fn add_adapters(y: &Tensor, x: &Tensor, segments: &[Segment]) -> Result<()> {
    let ((tokens, outputs), (x_tokens, inputs)) = (y.dims2()?, x.dims2()?);
    let mut end = 0;
    for segment in segments {
        let (rank, columns) = segment.a.dims2()?;
        let fits = columns == inputs
            && segment.b.dims2()? == (rank, outputs)
            && segment.start >= end
            && segment.start + segment.len <= tokens
            && segment.a.dtype() == x.dtype()
            && segment.b.dtype() == x.dtype()
            && segment.a.device().same_device(x.device())
            && segment.b.device().same_device(x.device())
            && segment.a.is_contiguous()
            && segment.b.is_contiguous();
        if !fits || tokens != x_tokens {
            bail!(
                "a segment of rank {rank} at {} does not fit {:?} and {:?}",
                segment.start,
                x.shape(),
                y.shape()
            );
        }
        end = segment.start + segment.len;
    }
    match segments.is_empty() {
        true => Ok(()),
        false => y.inplace_op2(x, &Add { segments }),
    }
}

struct Add<'a> {
    segments: &'a [Segment],
}

impl InplaceOp2 for Add<'_> {
    fn name(&self) -> &'static str {
        "add-adapters"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<()> {
        bail!("{} runs on CUDA", self.name())
    }

    fn cuda_fwd(
        &self,
        y: &mut CudaStorage,
        y_layout: &Layout,
        x: &CudaStorage,
        x_layout: &Layout,
    ) -> Result<()> {
        let device = x.device().clone();
        match (&mut y.slice, &x.slice) {
            (CudaStorageSlice::F32(y), CudaStorageSlice::F32(x)) => {
                self.run(&device, "f32", (y, y_layout), (x, x_layout), |storage| match &storage.slice {
                    CudaStorageSlice::F32(slice) => Some(slice),
                    _ => None,
                })
            }
            (CudaStorageSlice::BF16(y), CudaStorageSlice::BF16(x)) => {
                self.run(&device, "bf16", (y, y_layout), (x, x_layout), |storage| match &storage.slice {
                    CudaStorageSlice::BF16(slice) => Some(slice),
                    _ => None,
                })
            }
            _ => bail!("{}: needs f32 or bf16", self.name()),
        }
    }
}

impl Add<'_> {
    fn run<T: DeviceRepr>(
        &self,
        device: &CudaDevice,
        kind: &str,
        (y, y_layout): (&mut CudaSlice<T>, &Layout),
        (x, x_layout): (&CudaSlice<T>, &Layout),
        slice: impl Fn(&CudaStorage) -> Option<&CudaSlice<T>>,
    ) -> Result<()> {
        let (Some((y_start, y_end)), Some((x_start, x_end))) =
            (y_layout.contiguous_offsets(), x_layout.contiguous_offsets())
        else {
            bail!("{}: an argument is not contiguous", self.name())
        };
        let ((tokens, outputs), (_, inputs)) = (y_layout.shape().dims2()?, x_layout.shape().dims2()?);
        let stream = device.cuda_stream();
        let guards: Vec<_> = self
            .segments
            .iter()
            .flat_map(|segment| [&segment.a, &segment.b])
            .map(Tensor::storage_and_layout)
            .collect();
        let mut addresses = Vec::new();
        // Held until the launches are queued, so that the stream orders them after what wrote the adapters.
        let mut held = Vec::new();
        for (storage, layout) in &guards {
            let Storage::Cuda(storage) = &**storage else {
                bail!("{}: an adapter is not on CUDA", self.name())
            };
            let Some(slice) = slice(storage) else { bail!("{}: an adapter is not of x's type", self.name()) };
            let (address, guard) = slice.device_ptr(&stream);
            addresses.push(address + (layout.start_offset() * size_of::<T>()) as u64);
            held.push(guard);
        }
        let ranks: Vec<usize> =
            self.segments.iter().map(|segment| segment.a.dim(0)).collect::<Result<_>>()?;
        let rank_max = ranks.iter().copied().max().unwrap_or_default();
        let table: Vec<u64> = self
            .segments
            .iter()
            .zip(&ranks)
            .zip(addresses.chunks_exact(2))
            .flat_map(|((segment, rank), address)| {
                let pair = |low: u32, high: usize| u64::from(low) | (high as u64) << 32;
                let scale = segment.scale.to_bits();
                [address[0], address[1], pair(scale, *rank), pair(segment.start as u32, segment.len)]
            })
            .collect();
        let segments = device.clone_htod(&table)?;
        let mut low = device.alloc_zeros::<f32>(tokens * rank_max)?;
        let splits = (inputs / SPLIT_MIN).clamp(1, 8);
        let (which, shape, rows, columns) = match tokens <= DECODE_TOKENS_MAX {
            true => (self.token_segments(tokens), "bgmv", tokens, 128),
            false => {
                let tiles = self.tiles();
                let count = tiles.len() / 2;
                (tiles, "sgmv", count, DEPTH)
            }
        };
        let which = device.clone_htod(&which)?;
        let threads = if shape == "bgmv" { 128 } else { 256 };
        let grid = |x: usize| Grid { threads, x: x as u32, y: rows as u32 };
        let x = x.slice(x_start..x_end);
        let mut y = y.slice_mut(y_start..y_end);
        let (inputs, outputs, rank_max) = (inputs as i32, outputs, rank_max as i32);
        let kernel = format!("{shape}_shrink_{kind}");
        shrink(device, (&kernel, grid(splits)), &x, &mut low, &segments, &which, inputs, rank_max)?;
        let kernel = format!("{shape}_expand_{kind}");
        let grid = grid(outputs.div_ceil(columns));
        expand(device, (&kernel, grid), &low, &mut y, &segments, &which, outputs as i32, rank_max)
    }

    /// The segment of each token, −1 for the base.
    fn token_segments(&self, tokens: usize) -> Vec<i32> {
        let mut table = vec![-1; tokens];
        for (at, segment) in self.segments.iter().enumerate() {
            table[segment.start..segment.start + segment.len].fill(at as i32);
        }
        table
    }

    /// Segment and first token of each tile.
    fn tiles(&self) -> Vec<i32> {
        let mut tiles = Vec::new();
        for (at, segment) in self.segments.iter().enumerate() {
            for first in (segment.start..segment.start + segment.len).step_by(TILE) {
                tiles.extend([at as i32, first as i32]);
            }
        }
        tiles
    }
}
