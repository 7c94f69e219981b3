//! MiniLM's pass in two parts, so that what it knows half-way can be read too.
//!
//! The last layer says what a text is about; the words themselves, and how it was said, stand out lower down (Jawahar,
//! Sagot, Seddah, *What Does BERT Learn about the Structure of Language?*, ACL 2019). All parts share their weights.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertEncoder, BertModel, Config};

/// Layers of the lower part.
const LOWER_LAYERS: usize = 4;
/// States that [`Layers::forward`] gives.
pub(crate) const STATES: usize = 3;

/// The model.
pub(crate) struct Layers {
    /// Words and their places, before any layer.
    input: BertModel,
    lower: BertEncoder,
    upper: BertEncoder,
}

impl Layers {
    /// From a safetensors file.
    pub(crate) fn load(bytes: &[u8], config: &Config) -> Result<Self> {
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu)?;
        let layer = |name: &str| -> Option<(usize, String)> {
            let (number, rest) = name.strip_prefix("encoder.layer.")?.split_once('.')?;
            Some((number.parse().ok()?, rest.to_owned()))
        };
        let upper: HashMap<String, Tensor> = tensors
            .iter()
            .filter_map(|(name, tensor)| {
                let (number, rest) = layer(name)?;
                let number = number.checked_sub(LOWER_LAYERS)?;
                Some((format!("layer.{number}.{rest}"), tensor.clone()))
            })
            .collect();
        let with = |layers: usize| Config { num_hidden_layers: layers, ..config.clone() };
        let upper_layers = config.num_hidden_layers.saturating_sub(LOWER_LAYERS);
        let of = |tensors| VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let all = of(tensors);
        Ok(Self {
            input: BertModel::load(all.clone(), &with(0))?,
            lower: BertEncoder::load(all.pp("encoder"), &with(LOWER_LAYERS))?,
            upper: BertEncoder::load(of(upper), &with(upper_layers))?,
        })
    }

    /// `[batch, longest]` tokens and mask in; out the states `[batch, longest, 384]` before the first layer, after
    /// the lower part, and after the last layer.
    pub(crate) fn forward(&self, ids: &Tensor, mask: &Tensor) -> Result<[Tensor; STATES]> {
        let input = self.input.forward(ids, &ids.zeros_like()?, Some(mask))?;
        let seen = mask.to_dtype(DType::F32)?.unsqueeze(1)?.unsqueeze(1)?;
        let hidden = ((seen.ones_like()? - seen)? * f64::from(f32::MIN))?;
        let lower = self.lower.forward(&input, &hidden)?;
        let upper = self.upper.forward(&lower, &hidden)?;
        Ok([input, lower, upper])
    }
}
