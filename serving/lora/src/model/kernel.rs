//! Products of a batch with a matrix, for x86-64 with AVX2; `None` where there is none, and candle's own product serves.
//!
//! A decode step is a few rows against every weight of the model: it is bound by reading the weights. candle's gemm packs
//! the weights for each product, and its quantised product on AVX2 keeps a second copy of them, unpacked to 6 bits. These
//! kernels read each weight once, where and as it lies, for all rows of the batch. Safe code: `pulp` proves at run time
//! that the instructions are there.

mod adapter;
#[cfg(target_arch = "x86_64")]
mod dense;
mod gate;
#[cfg(target_arch = "x86_64")]
mod quant;
#[cfg(target_arch = "x86_64")]
mod simd;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{CpuStorage, DType, Result, Storage, Tensor, bail};

use pulp::NullaryFnOnce;

pub(crate) use adapter::AddAdapters;
pub(crate) use gate::Gate;

/// Rows up to which the dense kernel is the faster one; gemm's packing pays for itself beyond.
const DENSE_ROWS_MAX: usize = 32;

/// x·Wᵀ for a few rows of f32.
pub(crate) fn dense_product(weight: &Tensor, x: &Tensor) -> Result<Option<Tensor>> {
    let (rows, inputs) = x.dims2()?;
    let outputs = weight.dim(0)?;
    let here = weight.device().is_cpu() && weight.dtype() == DType::F32 && weight.dim(1)? == inputs;
    if !here || rows > DENSE_ROWS_MAX {
        return Ok(None);
    }
    let y = numbers(weight, |weight| numbers(x, |x| dense(weight, x, outputs, inputs)))??;
    y.map(|y| Tensor::from_vec(y, (rows, outputs), x.device())).transpose()
}

/// x·Wᵀ for any number of rows, x in f32, W in one of the kinds that [`quant`] knows.
pub(crate) fn quantised_product(weight: &QTensor, x: &Tensor) -> Result<Option<Tensor>> {
    let (rows, inputs) = x.dims2()?;
    let (outputs, columns) = weight.shape().dims2()?;
    if columns != inputs {
        bail!("{inputs} columns do not fit a matrix of {columns}");
    }
    if !weight.device().is_cpu() {
        return Ok(None);
    }
    let data = weight.data()?;
    let y = numbers(x, |x| quantised(weight.dtype(), &data, x, outputs, inputs))?;
    y.map(|y| Tensor::from_vec(y, (rows, outputs), x.device())).transpose()
}

#[cfg(target_arch = "x86_64")]
fn dense(weight: &[f32], x: &[f32], outputs: usize, inputs: usize) -> Option<Vec<f32>> {
    Some(dense::product(pulp::x86::V3::try_new()?, weight, x, outputs, inputs))
}

#[cfg(target_arch = "x86_64")]
fn quantised(kind: GgmlDType, weight: &[u8], x: &[f32], outputs: usize, inputs: usize) -> Option<Vec<f32>> {
    quant::product(pulp::x86::V3::try_new()?, kind, weight, x, outputs, inputs)
}

#[cfg(not(target_arch = "x86_64"))]
fn dense(_: &[f32], _: &[f32], _: usize, _: usize) -> Option<Vec<f32>> {
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn quantised(_: GgmlDType, _: &[u8], _: &[f32], _: usize, _: usize) -> Option<Vec<f32>> {
    None
}

/// Runs `work` compiled for AVX2 where it is there. A type with an `inline(always)` call, as a closure cannot be marked so:
/// what is not inlined is compiled for any processor.
#[inline(always)]
pub(crate) fn vectorize<W: NullaryFnOnce>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(work);
    }
    work.call()
}

/// eˣ to about 2 units in the last place, from -87 to 88 (beyond, its value there), in a way that vectorises: 2ⁿ by the
/// exponent's bits, and Cephes' polynomial (Moshier, `expf.c`) for the rest, |r| ≤ ln 2 / 2.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Added to a small number, it leaves its nearest whole number in the lowest bits.
    const WHOLE: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let n = shifted - WHOLE;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut sum = 1.987_569_1e-4;
    for factor in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.500_000_06] {
        sum = sum * r + factor;
    }
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    (sum * r * r + r + 1.0) * scale
}

/// The numbers of a contiguous f32 tensor on the CPU.
fn numbers<R>(tensor: &Tensor, with: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(numbers)), Some((start, end))) => Ok(with(&numbers[start..end])),
        _ => bail!("a kernel needs contiguous f32 numbers on the CPU"),
    }
}

/// `y`, `[rows, outputs]`, cut into pieces of `piece` outputs of all rows: what one task writes.
#[cfg(target_arch = "x86_64")]
fn columns(y: &mut [f32], outputs: usize, piece: usize) -> Vec<Vec<&mut [f32]>> {
    let mut pieces: Vec<Vec<&mut [f32]>> = (0..outputs.div_ceil(piece)).map(|_| Vec::new()).collect();
    for row in y.chunks_mut(outputs) {
        for (piece, part) in pieces.iter_mut().zip(row.chunks_mut(piece)) {
            piece.push(part);
        }
    }
    pieces
}

/// Outputs a task: enough tasks for even work, each long enough to be worth one.
#[cfg(target_arch = "x86_64")]
fn piece(outputs: usize) -> usize {
    outputs.div_ceil(8 * rayon::current_num_threads()).clamp(12, 768).next_multiple_of(12)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Numbers between -1 and 1 that look random.
    fn some(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn tensor(numbers: &[f32], columns: usize) -> Tensor {
        Tensor::from_slice(numbers, (numbers.len() / columns, columns), &Device::Cpu).unwrap()
    }

    fn exact(weight: &[f32], x: &[f32], inputs: usize) -> Vec<f64> {
        let dot =
            |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let pairs = x.chunks(inputs).flat_map(|x| weight.chunks(inputs).map(move |weight| (weight, x)));
        pairs.map(dot).collect()
    }

    #[test]
    fn exponentials_are_exact() {
        for at in -87_000..=88_000 {
            let x = at as f32 / 1000.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error <= 3e-7, "exp({x}) is off by {error:e}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(f32::NAN).is_nan());
    }

    #[test]
    fn dense_products_of_every_shape_are_exact() {
        for (outputs, inputs, rows) in [(1, 8, 1), (5, 20, 3), (50, 64, 7), (31, 100, 9), (200, 256, 32)] {
            let (weight, x) = (some(outputs * inputs, 1), some(rows * inputs, 2));
            let y = dense_product(&tensor(&weight, inputs), &tensor(&x, inputs)).unwrap();
            // No AVX2 here.
            let Some(y) = y else { return };
            for (y, exact) in
                y.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().zip(exact(&weight, &x, inputs))
            {
                assert!(
                    (f64::from(*y) - exact).abs() <= 1e-4,
                    "{outputs} x {inputs}, {rows} rows: {y} for {exact}"
                );
            }
        }
    }

    /// Within what rounding x to 8 bits may do: half a step for each weight.
    #[test]
    fn quantised_products_of_every_kind_and_shape_are_exact() {
        for (kind, block) in [
            (GgmlDType::Q4K, 256),
            (GgmlDType::Q6K, 256),
            (GgmlDType::Q4_0, 32),
            (GgmlDType::Q5_0, 32),
            (GgmlDType::Q8_0, 32),
        ] {
            for (outputs, blocks, rows) in [
                (1, 1, 1),
                (13, 3, 1),
                (50, 2, 3),
                (31, 4, 9),
                (200, 1, 17),
                (7, 3, 5),
                (6, 2, 2),
                (26, 1, 4),
            ] {
                let inputs = blocks * block;
                let mut x = some(rows * inputs, 3);
                // A row of zeros has no step.
                x[..inputs].fill(if rows == 3 { 0.0 } else { 0.5 });
                let mut weight = some(outputs * inputs, 4);
                // The largest numbers of the kind: sums of 16 bits must hold them.
                weight[..inputs].fill(1.0);
                let weight = QTensor::quantize(&tensor(&weight, inputs), kind).unwrap();
                let Some(y) = quantised_product(&weight, &tensor(&x, inputs)).unwrap() else { return };
                let weight: Vec<f32> =
                    weight.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
                let y: Vec<f32> = y.flatten_all().unwrap().to_vec1().unwrap();
                for (at, exact) in exact(&weight, &x, inputs).into_iter().enumerate() {
                    let (row, output) = (at / outputs, at % outputs);
                    let (x, weight) = (&x[row * inputs..][..inputs], &weight[output * inputs..][..inputs]);
                    let sum = |numbers: &[f32]| numbers.iter().map(|number| number.abs()).sum::<f32>();
                    let largest = |x: &[f32]| x.iter().fold(0_f32, |max, x| max.max(x.abs()));
                    let steps = x.chunks(block).zip(weight.chunks(block));
                    let bound: f32 = steps.map(|(x, weight)| largest(x) / 127.0 * sum(weight) * 0.51).sum();
                    let error = (f64::from(y[at]) - exact).abs();
                    assert!(
                        error <= f64::from(bound) + 1e-4,
                        "{kind:?} {outputs} x {inputs}: {error} of {exact}, {bound}"
                    );
                }
            }
        }
    }
}
