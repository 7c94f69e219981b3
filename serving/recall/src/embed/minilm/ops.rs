//! What stands between the matrix products, in place and a row at a time, over the cores.
//!
//! Written so that the compiler uses its vector registers: no calls and no branches in the inner loops. `exp` is range
//! reduction by ln 2 and a polynomial of degree 6 (relative error below 3·10⁻⁷); `erf` is Abramowitz and Stegun,
//! *Handbook of Mathematical Functions*, 7.1.26 (absolute error below 1.5·10⁻⁷).

use candle_core::{CpuStorage, CustomOp1, InplaceOp1, InplaceOp2, Layout, Result, Shape};
use rayon::prelude::*;

/// Rows that one task takes: enough to be worth handing over.
const ROWS: usize = 16;
/// Lanes that are added up apart.
const LANES: usize = 8;

/// Weights of a layer norm (Ba, Kiros and Hinton, 2016).
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) eps: f32,
}

/// Adds a bias to each row.
pub(super) struct Bias<'a>(pub(super) &'a [f32]);
/// Adds a bias to each row, then GELU (Hendrycks and Gimpel, 2016), the exact one.
pub(super) struct BiasGelu<'a>(pub(super) &'a [f32]);
/// Adds a bias and what the other tensor holds, then norms each row.
pub(super) struct AddNorm<'a> {
    pub(super) bias: &'a [f32],
    pub(super) norm: &'a Norm,
}
/// Softmax over each row of `scale` times what it holds.
pub(super) struct Softmax {
    pub(super) scale: f32,
}
/// Attention of each of several short texts: `[tokens, 3·hidden]` in, `[tokens, hidden]` out.
pub(super) struct Attention {
    pub(super) lengths: Vec<usize>,
    pub(super) heads: usize,
}

impl InplaceOp1 for Bias<'_> {
    fn name(&self) -> &'static str {
        "bias"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        rows_of(storage, layout)?.par_chunks_mut(self.0.len() * ROWS).for_each(|rows| {
            rows.chunks_exact_mut(self.0.len()).for_each(|row| add(row, self.0));
        });
        Ok(())
    }
}

impl InplaceOp1 for BiasGelu<'_> {
    fn name(&self) -> &'static str {
        "bias_gelu"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        rows_of(storage, layout)?.par_chunks_mut(self.0.len() * ROWS).for_each(|rows| {
            for row in rows.chunks_exact_mut(self.0.len()) {
                row.iter_mut().zip(self.0).for_each(|(x, bias)| *x = gelu(*x + bias));
            }
        });
        Ok(())
    }
}

impl InplaceOp2 for AddNorm<'_> {
    fn name(&self) -> &'static str {
        "add_norm"
    }

    fn cpu_fwd(
        &self,
        one: &mut CpuStorage,
        layout: &Layout,
        other: &CpuStorage,
        beside: &Layout,
    ) -> Result<()> {
        let width = self.bias.len();
        let (rows, others) = (rows_of(one, layout)?, slice_of(other, beside)?);
        rows.par_chunks_mut(width * ROWS).zip(others.par_chunks(width * ROWS)).for_each(|(rows, others)| {
            for (row, other) in rows.chunks_exact_mut(width).zip(others.chunks_exact(width)) {
                row.iter_mut().zip(other).zip(self.bias).for_each(|((x, y), bias)| *x += y + bias);
                norm(row, self.norm);
            }
        });
        Ok(())
    }
}

impl InplaceOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let width = layout.dims().last().copied().unwrap_or(1).max(1);
        rows_of(storage, layout)?.par_chunks_mut(width * ROWS).for_each(|rows| {
            rows.chunks_exact_mut(width).for_each(|row| softmax(row, self.scale));
        });
        Ok(())
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = slice_of(storage, layout)?;
        let tokens: usize = self.lengths.iter().sum();
        let wide = qkv.len() / tokens.max(1);
        let hidden = wide / 3;
        let mut out = vec![0.0_f32; tokens * hidden];
        let (mut texts, mut ins, mut outs) =
            (Vec::with_capacity(self.lengths.len()), qkv, out.as_mut_slice());
        for length in &self.lengths {
            let (text, rest) = ins.split_at_checked(length * wide).unwrap_or((&[], &[]));
            let (own, after) =
                std::mem::take(&mut outs).split_at_mut_checked(length * hidden).unwrap_or_default();
            texts.push((text, own));
            (ins, outs) = (rest, after);
        }
        texts.into_par_iter().for_each(|(text, out)| {
            let mut work = Work::default();
            for head in 0..self.heads {
                work.attend(text, out, hidden, head, self.heads);
            }
        });
        Ok((CpuStorage::F32(out), Shape::from((tokens, hidden))))
    }
}

/// Room for one text.
#[derive(Default)]
struct Work {
    /// The keys of a head, turned: a row a dimension.
    keys: Vec<f32>,
    weights: Vec<f32>,
}

impl Work {
    #[allow(clippy::cast_precision_loss, reason = "a small number")]
    fn attend(&mut self, text: &[f32], out: &mut [f32], hidden: usize, head: usize, heads: usize) {
        let (width, wide) = (hidden / heads, hidden * 3);
        let length = text.len() / wide;
        let part = |row: &'_ [f32], which: usize| -> std::ops::Range<usize> {
            let begin = which * hidden + head * width;
            begin.min(row.len())..(begin + width).min(row.len())
        };
        self.keys.clear();
        self.keys.resize(width * length, 0.0);
        for (at, row) in text.chunks_exact(wide).enumerate() {
            let keys = row.get(part(row, 1)).unwrap_or_default();
            let column = self.keys.iter_mut().skip(at).step_by(length);
            column.zip(keys).for_each(|(slot, key)| *slot = *key);
        }
        let scale = 1.0 / (width as f32).sqrt();
        for (row, out) in text.chunks_exact(wide).zip(out.chunks_exact_mut(hidden)) {
            self.weights.clear();
            self.weights.resize(length, 0.0);
            let query = row.get(part(row, 0)).unwrap_or_default();
            for (x, keys) in query.iter().zip(self.keys.chunks_exact(length)) {
                self.weights.iter_mut().zip(keys).for_each(|(sum, key)| *sum += x * key);
            }
            softmax(&mut self.weights, scale);
            let Some(out) = out.get_mut(head * width..(head + 1) * width) else { continue };
            for (weight, row) in self.weights.iter().zip(text.chunks_exact(wide)) {
                let values = row.get(part(row, 2)).unwrap_or_default();
                out.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
            }
        }
    }
}

/// Norms each row.
pub(super) fn norm_rows(rows: &mut [f32], weights: &Norm) {
    rows.par_chunks_mut(weights.weight.len() * ROWS).for_each(|rows| {
        rows.chunks_exact_mut(weights.weight.len()).for_each(|row| norm(row, weights));
    });
}

#[allow(clippy::cast_precision_loss, reason = "a row is short")]
fn norm(row: &mut [f32], weights: &Norm) {
    let count = row.len() as f32;
    let mean = sum(row, |x| x) / count;
    let variance = sum(row, |x| (x - mean) * (x - mean)) / count;
    let scale = 1.0 / (variance + weights.eps).sqrt();
    for ((x, weight), bias) in row.iter_mut().zip(&weights.weight).zip(&weights.bias) {
        *x = (*x - mean) * scale * weight + bias;
    }
}

fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|x| of(*x)).sum();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += of(*x));
    }
    sums.iter().sum::<f32>() + rest
}

fn add(row: &mut [f32], bias: &[f32]) {
    row.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
}

fn softmax(row: &mut [f32], scale: f32) {
    let most = row.iter().fold(f32::NEG_INFINITY, |most, x| if *x > most { *x } else { most });
    row.iter_mut().for_each(|x| *x = exp((*x - most) * scale));
    let total = 1.0 / sum(row, |x| x);
    row.iter_mut().for_each(|x| *x *= total);
}

fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

fn erf(x: f32) -> f32 {
    let positive = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * positive);
    let poly = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    (1.0 - poly * exp(-positive * positive)).copysign(x)
}

/// `eˣ`; below -87 it is as there.
#[allow(clippy::excessive_precision, reason = "ln 2 in two parts, the first exact in few bits")]
fn exp(x: f32) -> f32 {
    /// 1.5·2²³: adding it rounds to a whole number, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let x = if x < 88.0 { x } else { 88.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = x - whole * 0.693_145_75 - whole * 1.428_606_8e-6;
    let poly = 1.0 / 720.0;
    let poly = poly * r + 1.0 / 120.0;
    let poly = poly * r + 1.0 / 24.0;
    let poly = poly * r + 1.0 / 6.0;
    let poly = poly * r + 0.5;
    let poly = poly * r + 1.0;
    let poly = poly * r + 1.0;
    f32::from_bits(poly.to_bits().wrapping_add(shifted.to_bits() << 23))
}

fn rows_of<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    let (CpuStorage::F32(numbers), Some((begin, end))) = (storage, layout.contiguous_offsets()) else {
        candle_core::bail!("the encoder takes contiguous f32 only");
    };
    numbers
        .get_mut(begin..end)
        .ok_or_else(|| candle_core::Error::Msg("a layout beyond its storage".to_owned()))
}

fn slice_of<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (CpuStorage::F32(numbers), Some((begin, end))) = (storage, layout.contiguous_offsets()) else {
        candle_core::bail!("the encoder takes contiguous f32 only");
    };
    numbers.get(begin..end).ok_or_else(|| candle_core::Error::Msg("a layout beyond its storage".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_erf_are_close_to_the_true_ones() {
        for step in -8700..=8700 {
            let x = f32::from(i16::try_from(step).unwrap()) / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= exact * 4e-7, "{x}");
        }
        assert!(exp(-1000.0) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37 && exp(1000.0).is_finite());
        for (x, exact) in
            [(0.0, 0.0), (0.5, 0.520_499_877_8), (-1.0, -0.842_700_792_9), (2.0, 0.995_322_265), (9.0, 1.0)]
        {
            assert!((f64::from(erf(x)) - exact).abs() < 3e-7, "{x}: {}", erf(x));
        }
    }

    #[test]
    fn softmax_adds_up_to_one() {
        let mut row = [3.0, -2.0, 1e30_f32.ln(), 0.0];
        softmax(&mut row, 0.5);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(row[2] > row[0] && row[0] > row[3] && row[3] > row[1]);
    }
}
