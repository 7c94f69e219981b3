//! f32 rows times a matrix in ggml's blocks, by whole numbers of 8 bits.
//!
//! The rows are rounded to 8 bits with a scale for each block, as llama.cpp does; then a block's sum is whole-number
//! products of 32 bytes at a time. Layouts of the blocks: ggml, `ggml-common.h`. Blocks of [`OUTPUTS`] rows of the matrix
//! are taken apart together, once for up to [`TILE`] rows of x, eight bytes of each side by side: so the 16-bit sums of
//! several products can be added before they are scaled, which takes half the instructions that a row alone would.

mod k;
mod plain;

use std::arch::x86_64::{__m256, __m256i};
use std::marker::PhantomData;

use candle_core::quantized::GgmlDType;
use pulp::NullaryFnOnce;
use pulp::x86::V3;
use rayon::prelude::*;

use super::{columns, piece};

/// Rows of x that share the taking apart of a block.
const TILE: usize = 8;
/// Rows of the matrix whose blocks lie side by side.
const OUTPUTS: usize = 4;

/// A kind of block.
trait Block: Sync {
    /// A block of `x`, rounded.
    type Rounded: Send + Sync;
    /// Numbers of a block, and its bytes.
    const NUMBERS: usize;
    const BYTES: usize;

    /// Rounds a row of `x`.
    fn round(x: &[f32]) -> Vec<Self::Rounded>;

    /// Rows of the matrix times `R` rows of x, as many blocks of each.
    fn tile<const R: usize>(
        simd: V3,
        weight: [&[u8]; OUTPUTS],
        x: [&[Self::Rounded]; R],
    ) -> [[f32; OUTPUTS]; R];
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
    fn call(mut self) {
        // A tile that is not full computes its last row again: cheaper than taking the blocks apart again.
        while !self.y.is_empty() {
            match self.y.len() {
                1 => self.rows::<1>(),
                2 => self.rows::<2>(),
                3 | 4 => self.rows::<4>(),
                _ => self.rows::<TILE>(),
            }
        }
    }
}

impl<B: Block> Part<'_, '_, B> {
    /// The outputs for the next `R` rows of x, or for those that are left.
    #[inline(always)]
    fn rows<const R: usize>(&mut self) {
        let blocks = self.blocks;
        let left = std::mem::take(&mut self.y);
        let count = left.len().min(R);
        let (y, later) = left.split_at_mut(count);
        let x: [&[B::Rounded]; R] = std::array::from_fn(|at| &self.x[at.min(count - 1) * blocks..][..blocks]);
        let weight = |at: usize| &self.weight[at * blocks * B::BYTES..][..blocks * B::BYTES];
        let outputs = self.weight.len() / (blocks * B::BYTES);
        // Far apart, so that each is read on from where it was: the processor fetches four long runs ahead.
        let apart = outputs.div_ceil(OUTPUTS);
        for first in 0..apart {
            // Towards the end some are computed twice.
            let four = each([0, 1, 2, 3], |at| (first + at * apart).min(outputs - 1));
            let sums = B::tile(self.simd, each(four, weight), x);
            for (y, sums) in y.iter_mut().zip(sums) {
                for (output, sum) in four.into_iter().zip(sums) {
                    y[output] = sum;
                }
            }
        }
        (self.x, self.y) = (&self.x[count * blocks..], later);
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

/// Eight bytes each of four: chunk n of all lies in vector n.
#[inline(always)]
fn side_by_side(simd: V3, [a, b, c, d]: [__m256i; OUTPUTS]) -> [__m256i; 4] {
    let avx2 = simd.avx2;
    let (low, high) = (avx2._mm256_unpacklo_epi64(a, b), avx2._mm256_unpackhi_epi64(a, b));
    let (low2, high2) = (avx2._mm256_unpacklo_epi64(c, d), avx2._mm256_unpackhi_epi64(c, d));
    [
        avx2._mm256_permute2x128_si256::<0x20>(low, low2),
        avx2._mm256_permute2x128_si256::<0x20>(high, high2),
        avx2._mm256_permute2x128_si256::<0x31>(low, low2),
        avx2._mm256_permute2x128_si256::<0x31>(high, high2),
    ]
}

/// `with` of each of four. Not an array's own `map`, which is not always inlined.
#[inline(always)]
fn each<T, U>([a, b, c, d]: [T; OUTPUTS], with: impl Fn(T) -> U) -> [U; OUTPUTS] {
    [with(a), with(b), with(c), with(d)]
}

/// A number of each of four, twice: where sums of eight bytes side by side end up.
#[inline(always)]
fn twice([a, b, c, d]: [f32; OUTPUTS]) -> __m256 {
    pulp::cast([a, a, b, b, c, c, d, d])
}

/// The sums of four for each row of x, of two lanes each.
#[inline(always)]
fn all_pairs<const R: usize>(sums: [__m256; R]) -> [[f32; OUTPUTS]; R] {
    let mut all = [[0.0; OUTPUTS]; R];
    for (four, lanes) in all.iter_mut().zip(sums) {
        let [a, b, c, d, e, f, g, h]: [f32; 8] = pulp::cast(lanes);
        *four = [a + b, c + d, e + f, g + h];
    }
    all
}

/// Eight bytes for all four.
#[inline(always)]
fn eight(simd: V3, bytes: &[i8; 8]) -> __m256i {
    simd.avx._mm256_set1_epi64x(pulp::cast(*bytes))
}
