//! A decoder layer: norms, projections with their adapters, attention, MLP.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};
use candle_nn::ops::{rms_norm, silu};
use candle_nn::rotary_emb::rope_thd;

use super::attend::Attend;
use super::batch::{Segment, Write};
use super::config::ModelConfig;
use super::kernel::{AddAdapters, Gate};
use super::matrix::Matrix;
use super::source::Source;
use crate::adapter::{Adapter, Module};

/// What one pass shares over all layers.
pub(crate) struct Step<'a> {
    /// Rotary rows of each token, `[tokens, head_dim / 2]`.
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
    pub(crate) segments: Vec<Segment>,
    pub(crate) adapters: &'a [Arc<Adapter>],
    pub(crate) writes: Vec<Write>,
    pub(crate) attend: Attend,
}

#[derive(Debug)]
struct Linear {
    weight: Matrix,
    bias: Option<Tensor>,
}

impl Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.weight.product(x)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// One layer of the model.
#[derive(Debug)]
pub(crate) struct Layer {
    number: usize,
    linears: [Linear; Module::ALL.len()],
    input_norm: Tensor,
    mlp_norm: Tensor,
    rms_eps: f32,
}

impl Layer {
    /// Bytes of its projections.
    pub(crate) fn bytes(&self) -> usize {
        self.linears.iter().map(|linear| linear.weight.bytes()).sum()
    }

    pub(crate) fn load(
        source: &mut Source,
        config: &ModelConfig,
        number: usize,
        dtype: DType,
    ) -> crate::Result<Self, String> {
        let mut linears = Vec::with_capacity(Module::ALL.len());
        for module in Module::ALL {
            let name = format!("model.layers.{number}.{}", module.path());
            let (outputs, inputs) = module.shape(config);
            let weight = source.matrix(&format!("{name}.weight"), [outputs, inputs], dtype)?;
            let bias = match module.has_bias(config) {
                true => Some(source.vector(&format!("{name}.bias"), outputs, dtype)?),
                false => None,
            };
            linears.push(Linear { weight, bias });
        }
        let mut norm =
            |name: &str| source.vector(&format!("model.layers.{number}.{name}.weight"), config.hidden, dtype);
        Ok(Self {
            number,
            input_norm: norm("input_layernorm")?,
            mlp_norm: norm("post_attention_layernorm")?,
            linears: linears.try_into().map_err(|_| "a projection is missing".to_owned())?,
            rms_eps: config.rms_eps as f32,
        })
    }

    /// `x` is `[tokens, hidden]`; `keys` and `values` are this layer's cache, which is written before it is read.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        step: &Step<'_>,
    ) -> Result<Tensor> {
        let attended = self.attention(&rms_norm(x, &self.input_norm, self.rms_eps)?, keys, values, step)?;
        let x = (x + attended)?;
        let normed = rms_norm(&x, &self.mlp_norm, self.rms_eps)?;
        let gate = self.project(Module::Gate, &normed, step)?;
        let up = self.project(Module::Up, &normed, step)?;
        let inner = match gate.device().is_cpu() && gate.dtype() == DType::F32 {
            true => {
                gate.inplace_op2(&up, &Gate)?;
                gate
            }
            false => (silu(&gate)? * up)?,
        };
        x + self.project(Module::Down, &inner, step)?
    }

    fn attention(&self, x: &Tensor, keys: &Tensor, values: &Tensor, step: &Step<'_>) -> Result<Tensor> {
        let (tokens, dim) = (x.dim(0)?, step.attend.head_dim);
        let split = |x: Tensor, heads: usize| x.reshape((tokens, heads, dim));
        let turn = |x: Tensor| rope_thd(&x.unsqueeze(0)?, &step.cos, &step.sin)?.squeeze(0);
        let query = turn(split(self.project(Module::Q, x, step)?, step.attend.heads)?)?;
        let key = turn(split(self.project(Module::K, x, step)?, step.attend.kv_heads)?)?;
        let value = split(self.project(Module::V, x, step)?, step.attend.kv_heads)?;
        for write in &step.writes {
            keys.slice_set(&key.narrow(0, write.start, write.len)?, 0, write.cache_slot)?;
            values.slice_set(&value.narrow(0, write.start, write.len)?, 0, write.cache_slot)?;
        }
        let attended = attend(&query, keys, values, step)?;
        self.project(Module::O, &attended.reshape((tokens, ()))?, step)
    }

    /// W·x, and + s·B(A·x) for the tokens of each adapter that has this module (LR-1).
    pub(crate) fn project(&self, module: Module, x: &Tensor, step: &Step<'_>) -> Result<Tensor> {
        let y = self.linears[module as usize].forward(x)?;
        #[cfg(feature = "cuda")]
        if y.device().is_cuda() {
            super::cuda::add_adapters(&y, x, step, self.number, module)?;
            return Ok(y);
        }
        if y.device().is_cpu() && y.dtype() == DType::F32 {
            let Step { segments, adapters, .. } = step;
            y.inplace_op2(x, &AddAdapters { segments, adapters, layer: self.number, module })?;
            return Ok(y);
        }
        for segment in &step.segments {
            let adapter = &step.adapters[segment.slot];
            let Some(lora) = adapter.lora(self.number, module) else { continue };
            let x = x.narrow(0, segment.start, segment.len)?;
            // The scale goes on the narrowest tensor, `[tokens, rank]`.
            let low = (x.matmul(&lora.a.t()?)? * lora.scale)?;
            let adapted = (y.narrow(0, segment.start, segment.len)? + low.matmul(&lora.b)?)?;
            y.slice_set(&adapted, 0, segment.start)?;
        }
        Ok(y)
    }
}

fn attend(query: &Tensor, keys: &Tensor, values: &Tensor, step: &Step<'_>) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if query.device().is_cuda() {
        return super::cuda::attend(query, keys, values, &step.attend);
    }
    query.apply_op3_no_bwd(keys, values, &step.attend)
}
