//! f32 rows times a matrix in ggml's blocks, by whole numbers of 8 bits.
//!
//! The rows are rounded to 8 bits with a scale for each block, as llama.cpp does; then a block's sum is whole-number
//! products of 32 bytes at a time. Layouts of the blocks: ggml, `ggml-common.h`. A block's numbers are taken apart once for
//! up to [`TILE`] rows.

mod k;
mod plain;

use std::marker::PhantomData;

use candle_core::quantized::GgmlDType;
use pulp::NullaryFnOnce;
use pulp::x86::V3;
use rayon::prelude::*;

use super::{columns, piece};

/// Rows that share the taking apart of a block.
const TILE: usize = 8;

/// A kind of block.
trait Block: Sync {
    /// A block of `x`, rounded.
    type Rounded: Send + Sync;
    /// Numbers of a block, and its bytes.
    const NUMBERS: usize;
    const BYTES: usize;

    /// Rounds a row of `x`.
    fn round(x: &[f32]) -> Vec<Self::Rounded>;

    /// One row of the matrix times up to [`TILE`] rows of `x`, whose blocks lie `blocks` apart.
    fn dot(simd: V3, weight: &[u8], x: &[Self::Rounded], blocks: usize, y: &mut [f32; TILE]);
}

/// `[outputs, inputs]` in blocks and `[rows, inputs]` to `[rows, outputs]`; `None` for kinds that are not known here.
pub(super) fn product(
    simd: V3,
    kind: GgmlDType,
    weight: &[u8],
    x: &[f32],
    outputs: usize,
    inputs: usize,
) -> Option<Vec<f32>> {
    Some(match kind {
        GgmlDType::Q4K => blocks::<k::Q4K>(simd, weight, x, outputs, inputs),
        GgmlDType::Q6K => blocks::<k::Q6K>(simd, weight, x, outputs, inputs),
        GgmlDType::Q4_0 => blocks::<plain::Q4>(simd, weight, x, outputs, inputs),
        GgmlDType::Q5_0 => blocks::<plain::Q5>(simd, weight, x, outputs, inputs),
        GgmlDType::Q8_0 => blocks::<plain::Q8>(simd, weight, x, outputs, inputs),
        _ => return None,
    })
}

fn blocks<B: Block>(simd: V3, weight: &[u8], x: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    let blocks = inputs / B::NUMBERS;
    let rows = x.len() / inputs;
    let round = |x| simd.vectorize(Round::<B> { x, kind: PhantomData });
    let x: Vec<B::Rounded> = match rows {
        1 => round(x),
        _ => x.par_chunks(inputs).flat_map_iter(round).collect(),
    };
    let mut y = vec![0_f32; rows * outputs];
    let piece = piece(outputs);
    columns(&mut y, outputs, piece)
        .into_par_iter()
        .zip(weight.par_chunks(piece * blocks * B::BYTES))
        .for_each(|(mut y, weight)| simd.vectorize(Part::<B> { simd, weight, x: &x, blocks, y: &mut y }));
    y
}

/// A row of x, rounded.
struct Round<'a, B> {
    x: &'a [f32],
    kind: PhantomData<B>,
}

impl<B: Block> NullaryFnOnce for Round<'_, B> {
    type Output = Vec<B::Rounded>;

    #[inline(always)]
    fn call(self) -> Self::Output {
        B::round(self.x)
    }
}

/// The outputs of `weight`'s rows, for all rows of `x`, which stay in the nearest cache tile by tile.
struct Part<'a, 'y, B: Block> {
    simd: V3,
    weight: &'a [u8],
    x: &'a [B::Rounded],
    blocks: usize,
    y: &'a mut [&'y mut [f32]],
}

impl<B: Block> NullaryFnOnce for Part<'_, '_, B> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, weight, x, blocks, y } = self;
        for (x, y) in x.chunks(TILE * blocks).zip(y.chunks_mut(TILE)) {
            for (output, weight) in weight.chunks_exact(blocks * B::BYTES).enumerate() {
                let mut sums = [0_f32; TILE];
                B::dot(simd, weight, x, blocks, &mut sums);
                for (y, sum) in y.iter_mut().zip(sums) {
                    y[output] = sum;
                }
            }
        }
    }
}

/// A half-precision number. Infinities, which no scale is, come out large.
#[inline(always)]
fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    // The exponents differ by 112.
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((112 + 127) << 23);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

/// Numbers of `x` in steps of its largest / 127, and the step.
#[inline(always)]
fn round<const N: usize>(x: &[f32; N]) -> ([i8; N], f32) {
    let mut lanes = [0_f32; 8];
    for eight in x.as_chunks::<8>().0 {
        lanes.iter_mut().zip(eight).for_each(|(lane, x)| *lane = lane.max(x.abs()));
    }
    let step = lanes.iter().fold(0.0, |max: f32, lane| max.max(*lane)) / 127.0;
    let per_step = if step > 0.0 { 1.0 / step } else { 0.0 };
    let mut steps = [0; N];
    steps.iter_mut().zip(x).for_each(|(to, x)| *to = (x * per_step).round_ties_even() as i8);
    (steps, step)
}
