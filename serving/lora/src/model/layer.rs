//! A decoder layer: norms, projections with their adapters, attention, MLP.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};
use candle_nn::ops::{rms_norm, silu};
use candle_nn::rotary_emb::rope_thd;

use super::attend::Attend;
use super::batch::{Segment, Write};
use super::config::ModelConfig;
use super::weights::Weights;
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
    /// `[out, in]`
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.matmul(&self.weight.t()?)?;
        self.bias.as_ref().map_or(Ok(y.clone()), |bias| y.broadcast_add(bias))
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
    pub(crate) fn load(
        weights: &mut Weights,
        config: &ModelConfig,
        number: usize,
        dtype: DType,
    ) -> crate::Result<Self, String> {
        let mut linears = Vec::with_capacity(Module::ALL.len());
        for module in Module::ALL {
            let name = format!("model.layers.{number}.{}", module.path());
            let (outputs, inputs) = module.shape(config);
            let weight = weights.get(&format!("{name}.weight"), &[outputs, inputs], dtype)?;
            let bias = match module.has_bias(config) {
                true => Some(weights.get(&format!("{name}.bias"), &[outputs], dtype)?),
                false => None,
            };
            linears.push(Linear { weight, bias });
        }
        let mut norm = |name: &str| {
            weights.get(&format!("model.layers.{number}.{name}.weight"), &[config.hidden], dtype)
        };
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
        let gate = silu(&self.project(Module::Gate, &normed, step)?)?;
        let up = self.project(Module::Up, &normed, step)?;
        x + self.project(Module::Down, &(gate * up)?, step)?
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
        let attended = query.apply_op3_no_bwd(keys, values, &step.attend)?;
        self.project(Module::O, &attended.reshape((tokens, ()))?, step)
    }

    /// W·x, and + s·B(A·x) for the tokens of each adapter that has this module (LR-1).
    pub(crate) fn project(&self, module: Module, x: &Tensor, step: &Step<'_>) -> Result<Tensor> {
        let y = self.linears[module as usize].forward(x)?;
        for segment in &step.segments {
            let adapter = &step.adapters[segment.slot];
            let Some(lora) = adapter.lora(self.number, module) else { continue };
            let x = x.narrow(0, segment.start, segment.len)?;
            // The scale goes on the narrowest tensor, `[tokens, rank]`.
            let low = (x.matmul(&lora.a.t()?)? * lora.scale)?;
            let adapted = (y.narrow(0, segment.start, segment.len)? + low.matmul(&lora.b.t()?)?)?;
            y.slice_set(&adapted, 0, segment.start)?;
        }
        Ok(y)
    }
}
