//! f32 rows times an f32 matrix, tile by tile in registers.

use pulp::NullaryFnOnce;
use pulp::x86::V3;
use rayon::prelude::*;

use super::simd::{load, sum};
use super::{columns, piece};

/// A tile is this many outputs by this many rows: 12 sums, 3 weights and 1 input fill the 16 registers.
const OUTPUTS: usize = 3;
const ROWS: usize = 4;

/// `[outputs, inputs]` and `[rows, inputs]` to `[rows, outputs]`.
pub(super) fn product(simd: V3, weight: &[f32], x: &[f32], outputs: usize, inputs: usize) -> Vec<f32> {
    let mut y = vec![0_f32; x.len() / inputs * outputs];
    let piece = piece(outputs);
    columns(&mut y, outputs, piece)
        .into_par_iter()
        .zip(weight.par_chunks(piece * inputs))
        .for_each(|(mut y, weight)| simd.vectorize(Part { simd, weight, x, inputs, y: &mut y }));
    y
}

/// The outputs of `weight`'s rows, for all rows of `x`.
pub(super) struct Part<'a, 'y> {
    pub(super) simd: V3,
    pub(super) weight: &'a [f32],
    pub(super) x: &'a [f32],
    pub(super) inputs: usize,
    pub(super) y: &'a mut [&'y mut [f32]],
}

impl NullaryFnOnce for Part<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, weight, x, inputs, y } = self;
        let outputs = weight.len() / inputs;
        // Far apart, so that each row is read on from the one before it: the processor fetches three long runs ahead.
        let apart = outputs.div_ceil(OUTPUTS);
        for first in 0..apart {
            // Towards the end some are computed twice.
            let (second, third) = (first + apart, first + 2 * apart);
            let three = [first, second.min(outputs - 1), third.min(outputs - 1)];
            all_rows(simd, weight, x, inputs, three, y);
        }
    }
}

#[inline(always)]
fn all_rows(
    simd: V3,
    weight: &[f32],
    x: &[f32],
    inputs: usize,
    outputs: [usize; OUTPUTS],
    y: &mut [&mut [f32]],
) {
    let tiles = x.chunks_exact(ROWS * inputs);
    let rest = tiles.remainder();
    let done = tiles.len() * ROWS;
    for (x, y) in tiles.zip(y.chunks_exact_mut(ROWS)) {
        tile::<ROWS>(simd, weight, x, inputs, outputs, y);
    }
    let y = &mut y[done..];
    match rest.len() / inputs {
        3 => tile::<3>(simd, weight, rest, inputs, outputs, y),
        2 => tile::<2>(simd, weight, rest, inputs, outputs, y),
        1 => tile::<1>(simd, weight, rest, inputs, outputs, y),
        _ => {}
    }
}

#[inline(always)]
fn tile<const R: usize>(
    simd: V3,
    weight: &[f32],
    x: &[f32],
    inputs: usize,
    outputs: [usize; OUTPUTS],
    y: &mut [&mut [f32]],
) {
    let eights = inputs / 8;
    let weight: [&[f32]; OUTPUTS] = std::array::from_fn(|at| &weight[outputs[at] * inputs..][..inputs]);
    let x: [&[f32]; R] = std::array::from_fn(|at| &x[at * inputs..][..inputs]);
    let w8: [&[[f32; 8]]; OUTPUTS] = std::array::from_fn(|at| &weight[at].as_chunks::<8>().0[..eights]);
    let x8: [&[[f32; 8]]; R] = std::array::from_fn(|at| &x[at].as_chunks::<8>().0[..eights]);
    let mut sums = [[simd.avx._mm256_setzero_ps(); R]; OUTPUTS];
    for at in 0..eights {
        let mut w = [simd.avx._mm256_setzero_ps(); OUTPUTS];
        for output in 0..OUTPUTS {
            w[output] = load(&w8[output][at]);
        }
        for row in 0..R {
            let x = load(&x8[row][at]);
            for output in 0..OUTPUTS {
                sums[output][row] = simd.fma._mm256_fmadd_ps(w[output], x, sums[output][row]);
            }
        }
    }
    for row in 0..R {
        for output in 0..OUTPUTS {
            let rest = weight[output][eights * 8..].iter().zip(&x[row][eights * 8..]);
            y[row][outputs[output]] = sum(simd, sums[output][row]) + rest.map(|(w, x)| w * x).sum::<f32>();
        }
    }
}
