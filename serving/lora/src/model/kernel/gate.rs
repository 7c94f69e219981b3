//! silu(gate)·up in place, the middle of the MLP.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, bail};
use pulp::NullaryFnOnce;
use rayon::prelude::*;

use super::{exp, vectorize};

/// Numbers that a task takes.
const TASK_NUMBERS: usize = 1 << 12;

/// Op arguments: gate, changed, and up, both f32 and of one shape.
#[derive(Debug)]
pub(crate) struct Gate;

impl InplaceOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(
        &self,
        gate: &mut CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<()> {
        match (gate, up, gate_layout.contiguous_offsets(), up_layout.contiguous_offsets()) {
            (CpuStorage::F32(gate), CpuStorage::F32(up), Some((start, end)), Some((up_start, up_end)))
                if end - start == up_end - up_start =>
            {
                gate[start..end]
                    .par_chunks_mut(TASK_NUMBERS)
                    .zip(up[up_start..up_end].par_chunks(TASK_NUMBERS))
                    .for_each(|(gate, up)| vectorize(Part { gate, up }));
                Ok(())
            }
            _ => bail!("{}: needs two contiguous f32 tensors of one shape", self.name()),
        }
    }
}

struct Part<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl NullaryFnOnce for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate = *gate / (1.0 + exp(-*gate)) * up;
        }
    }
}
