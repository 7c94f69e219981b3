//! y += s·B(A·x) in place, for the rows of every adapter of a batch at once.

use std::sync::Arc;

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, bail};
use pulp::NullaryFnOnce;
use rayon::prelude::*;

use super::vectorize;

use crate::adapter::{Adapter, Lora, Module};
use crate::model::batch::Segment;

/// Rows of one segment that a task takes.
const TASK_ROWS: usize = 16;

/// Op arguments: y `[tokens, outputs]`, changed, and x `[tokens, inputs]`, both f32.
#[derive(Debug)]
pub(crate) struct AddAdapters<'a> {
    pub(crate) segments: &'a [Segment],
    pub(crate) adapters: &'a [Arc<Adapter>],
    pub(crate) layer: usize,
    pub(crate) module: Module,
}

impl InplaceOp2 for AddAdapters<'_> {
    fn name(&self) -> &'static str {
        "add-adapters"
    }

    fn cpu_fwd(
        &self,
        y: &mut CpuStorage,
        y_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(y), CpuStorage::F32(x)) = (y, x) else { bail!("{}: needs f32", self.name()) };
        let (Some((y_start, y_end)), Some((x_start, x_end))) =
            (y_layout.contiguous_offsets(), x_layout.contiguous_offsets())
        else {
            bail!("{}: an argument is not contiguous", self.name())
        };
        let (_, outputs) = y_layout.shape().dims2()?;
        let (_, inputs) = x_layout.shape().dims2()?;
        let x = &x[x_start..x_end];
        let mut left = &mut y[y_start..y_end];
        let mut tasks = Vec::new();
        let mut at = 0;
        for segment in self.segments {
            let (_, from) = std::mem::take(&mut left).split_at_mut((segment.start - at) * outputs);
            let (own, rest) = from.split_at_mut(segment.len * outputs);
            left = rest;
            at = segment.start + segment.len;
            let Some(lora) = self.adapters[segment.slot].lora(self.layer, self.module) else { continue };
            let x = &x[segment.start * inputs..at * inputs];
            tasks.extend(
                own.chunks_mut(TASK_ROWS * outputs)
                    .zip(x.chunks(TASK_ROWS * inputs))
                    .map(|(y, x)| (lora, x, y)),
            );
        }
        tasks.into_par_iter().try_for_each(|(lora, x, y)| add(lora, x, y, inputs, outputs))
    }
}

/// The rows of one adapter.
fn add(lora: &Lora, x: &[f32], y: &mut [f32], inputs: usize, outputs: usize) -> Result<()> {
    let scale = lora.scale as f32;
    super::numbers(&lora.a, |a| super::numbers(&lora.b, |b| rows(a, b, scale, x, y, inputs, outputs)))?
}

fn rows(a: &[f32], b: &[f32], scale: f32, x: &[f32], y: &mut [f32], inputs: usize, outputs: usize) {
    let rank = a.len() / inputs;
    let mut low = vec![0_f32; x.len() / inputs * rank];
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        let mut low_rows: Vec<&mut [f32]> = low.chunks_mut(rank).collect();
        simd.vectorize(super::dense::Part { simd, weight: a, x, inputs, y: &mut low_rows });
        vectorize(Widen { low: &mut low, b, scale, rank, y, outputs });
        return;
    }
    for (low, x) in low.chunks_mut(rank).zip(x.chunks(inputs)) {
        for (low, a) in low.iter_mut().zip(a.chunks(inputs)) {
            *low = a.iter().zip(x).map(|(a, x)| a * x).sum();
        }
    }
    vectorize(Widen { low: &mut low, b, scale, rank, y, outputs });
}

/// y += s·low·B, with `b` as `[rank, outputs]`: its rows are read in order, and no sum runs across lanes.
struct Widen<'a> {
    low: &'a mut [f32],
    b: &'a [f32],
    scale: f32,
    rank: usize,
    y: &'a mut [f32],
    outputs: usize,
}

impl NullaryFnOnce for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { low, b, scale, rank, y, outputs } = self;
        // The scale goes on the narrowest numbers.
        low.iter_mut().for_each(|low| *low *= scale);
        for (low, y) in low.chunks(rank).zip(y.chunks_mut(outputs)) {
            let (low4, low_rest) = low.as_chunks::<4>();
            let mut rows = b.chunks_exact(outputs);
            for low in low4 {
                let (Some(b0), Some(b1), Some(b2), Some(b3)) =
                    (rows.next(), rows.next(), rows.next(), rows.next())
                else {
                    return;
                };
                for ((((y, b0), b1), b2), b3) in y.iter_mut().zip(b0).zip(b1).zip(b2).zip(b3) {
                    *y += low[0] * b0 + low[1] * b1 + low[2] * b2 + low[3] * b3;
                }
            }
            for (low, b) in low_rest.iter().zip(rows) {
                y.iter_mut().zip(b).for_each(|(y, b)| *y += low * b);
            }
        }
    }
}
