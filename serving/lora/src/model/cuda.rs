//! What candle lacks on CUDA: y += s·B(A·x) for each segment of tokens, and attention over the paged cache. The kernels'
//! sources, in `kernels/`, say how they work and where they come from. They compile for sm_90; they have not run.

mod adapters;
mod attend;
mod launch;

use candle_core::{Result, Tensor};

use adapters::Segment;

use super::layer::Step;
use crate::adapter::Module;

/// y += s·B(A·x) for the tokens of each adapter that has this module.
pub(super) fn add_adapters(
    y: &Tensor,
    x: &Tensor,
    step: &Step<'_>,
    layer: usize,
    module: Module,
) -> Result<()> {
    let segments: Vec<Segment> = step
        .segments
        .iter()
        .filter_map(|segment| {
            let lora = step.adapters[segment.slot].lora(layer, module)?;
            let (a, b, scale) = (lora.a.clone(), lora.b.clone(), lora.scale as f32);
            Some(Segment { a, b, scale, start: segment.start, len: segment.len })
        })
        .collect();
    adapters::add_adapters(y, x, &segments)
}

pub(super) use attend::attend;
