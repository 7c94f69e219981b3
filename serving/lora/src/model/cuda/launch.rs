//! The launches, and nothing else: the one file with `unsafe`.
#![allow(unsafe_code, reason = "the driver cannot check that a kernel's arguments are what it expects")]

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaView, CudaViewMut, DeviceRepr, LaunchConfig, PushKernelArg,
};
use candle_core::{CudaDevice, Result};

const ADAPTERS: &str = include_str!(concat!(env!("OUT_DIR"), "/adapters.ptx"));
const ATTEND: &str = include_str!(concat!(env!("OUT_DIR"), "/attend.ptx"));

/// Threads of a block, blocks along x and y.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) threads: u32,
    pub(crate) x: u32,
    pub(crate) y: u32,
}

impl Grid {
    fn config(self) -> LaunchConfig {
        LaunchConfig { grid_dim: (self.x, self.y, 1), block_dim: (self.threads, 1, 1), shared_mem_bytes: 0 }
    }
}

/// low += s·A·x: `kernel` is `bgmv_shrink` or `sgmv_shrink`, `which` its token or tile table.
#[allow(clippy::too_many_arguments, reason = "a kernel's arguments")]
pub(crate) fn shrink<T: DeviceRepr>(
    device: &CudaDevice,
    (kernel, grid): (&str, Grid),
    x: &CudaView<'_, T>,
    low: &mut CudaSlice<f32>,
    segments: &CudaSlice<u64>,
    which: &CudaSlice<i32>,
    inputs: i32,
    rank_max: i32,
) -> Result<()> {
    let function = device.get_or_load_custom_func(kernel, "crave-adapters", ADAPTERS)?;
    let mut builder = function.builder();
    builder.arg(x).arg(low).arg(segments).arg(which).arg(&inputs).arg(&rank_max);
    // SAFETY: the arguments are those of the kernel, and `adapters` has checked that its tables stay within them.
    unsafe { builder.launch(grid.config()) }.w()?;
    Ok(())
}

/// y += B·low: `kernel` is `bgmv_expand` or `sgmv_expand`.
#[allow(clippy::too_many_arguments, reason = "a kernel's arguments")]
pub(crate) fn expand<T: DeviceRepr>(
    device: &CudaDevice,
    (kernel, grid): (&str, Grid),
    low: &CudaSlice<f32>,
    y: &mut CudaViewMut<'_, T>,
    segments: &CudaSlice<u64>,
    which: &CudaSlice<i32>,
    outputs: i32,
    rank_max: i32,
) -> Result<()> {
    let function = device.get_or_load_custom_func(kernel, "crave-adapters", ADAPTERS)?;
    let mut builder = function.builder();
    builder.arg(low).arg(y).arg(segments).arg(which).arg(&outputs).arg(&rank_max);
    // SAFETY: as in `shrink`.
    unsafe { builder.launch(grid.config()) }.w()?;
    Ok(())
}

/// Numbers that the attention kernel takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) table_blocks: i32,
    pub(crate) block_tokens: i32,
    pub(crate) kv_heads: i32,
    pub(crate) dim: i32,
    pub(crate) window: i32,
    pub(crate) scale: f32,
}

/// out = softmax(q·kᵀ)·v for every token and query head.
#[allow(clippy::too_many_arguments, reason = "a kernel's arguments")]
pub(crate) fn attend<T: DeviceRepr>(
    device: &CudaDevice,
    (kernel, grid): (&str, Grid),
    queries: &CudaView<'_, T>,
    keys: &CudaView<'_, T>,
    values: &CudaView<'_, T>,
    out: &mut CudaSlice<T>,
    tokens: &CudaSlice<i32>,
    tables: &CudaSlice<i32>,
    shape: Shape,
) -> Result<()> {
    let function = device.get_or_load_custom_func(kernel, "crave-attend", ATTEND)?;
    let mut builder = function.builder();
    builder.arg(queries).arg(keys).arg(values).arg(out).arg(tokens).arg(tables);
    builder.arg(&shape.table_blocks).arg(&shape.block_tokens).arg(&shape.kv_heads);
    builder.arg(&shape.dim).arg(&shape.window).arg(&shape.scale);
    // SAFETY: the arguments are those of the kernel, and `attend` has checked that every position lies within the cache.
    unsafe { builder.launch(grid.config()) }.w()?;
    Ok(())
}
