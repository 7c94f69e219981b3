//! One logistic regression a label, over the numbers of a passage; trained by `tests/recall/labels.rs`.

use candle_core::{DType, Device, Tensor};
use sha2::{Digest as _, Sha256};

use super::features::{ALL_N, WORDS_N};
use super::label::{LABELS_N, PerLabel};
use super::lexicon::LISTS;
use crate::{Error, Result};

/// Raised whenever the code reads a text otherwise with the same heads and lists.
const CODE_VERSION: u32 = 2;
/// The trained heads, compiled in.
const TRAINED: &[u8] = include_bytes!("heads.safetensors");

/// The heads: with embeddings, and of words alone for where no model is.
#[derive(Debug)]
pub struct Heads {
    with_model: Head,
    words_alone: Head,
    version: String,
}

#[derive(Debug)]
struct Head {
    /// `[LABELS_N, numbers]`
    weights: Vec<Vec<f32>>,
    bias: Vec<f32>,
    /// The probability from which a label holds.
    thresholds: PerLabel<f32>,
}

impl Heads {
    /// The heads that come with the program.
    ///
    /// # Errors
    /// [`Error::Labels`] when they do not fit the code, which a test rules out.
    pub fn trained() -> Result<Self> {
        Self::from_bytes(TRAINED)
    }

    /// Heads from a safetensors file with `model.*` and `words.*`: `weights` `[41, numbers]`, `bias` `[41]` and
    /// `thresholds` `[41]`, of any float type.
    ///
    /// # Errors
    /// [`Error::Labels`] when a tensor is missing or has another shape.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let broken = |error: candle_core::Error| Error::Labels(error.to_string());
        let tensors = candle_core::safetensors::load_buffer(bytes, &Device::Cpu).map_err(broken)?;
        let tensor = |name: String| {
            let found = tensors.get(&name).ok_or_else(|| Error::Labels(format!("{name} is missing")))?;
            found.to_dtype(DType::F32).map_err(broken)
        };
        let head = |name: &str, numbers: usize| -> Result<Head> {
            let vector = |part: &str| -> Result<Vec<f32>> {
                let tensor: Tensor = tensor(format!("{name}.{part}"))?;
                tensor.to_vec1().map_err(broken)
            };
            let weights: Vec<Vec<f32>> = tensor(format!("{name}.weights"))?.to_vec2().map_err(broken)?;
            let shape_fits = weights.len() == LABELS_N && weights.iter().all(|row| row.len() == numbers);
            let (bias, thresholds) = (vector("bias")?, vector("thresholds")?);
            let thresholds = thresholds.try_into().ok().filter(|_| shape_fits && bias.len() == LABELS_N);
            let thresholds = thresholds.ok_or_else(|| Error::Labels(format!("{name} has another shape")))?;
            Ok(Head { weights, bias, thresholds })
        };
        let digest = Sha256::new().chain_update(bytes).chain_update(LISTS).finalize();
        let hash = hex::encode(digest.get(..4).unwrap_or_default());
        let version = format!("labels-{CODE_VERSION}-{hash}");
        Ok(Self { with_model: head("model", ALL_N)?, words_alone: head("words", WORDS_N)?, version })
    }

    /// Changes whenever the heads, the word lists or `CODE_VERSION` do.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    fn head(&self, numbers: usize) -> &Head {
        if numbers == WORDS_N { &self.words_alone } else { &self.with_model }
    }

    /// The probability of each label, of a passage's [`WORDS_N`] or [`ALL_N`] numbers.
    pub(super) fn probabilities(&self, numbers: &[f32]) -> PerLabel<f32> {
        let head = self.head(numbers.len());
        let mut probabilities = [0.0; LABELS_N];
        for ((slot, weights), bias) in probabilities.iter_mut().zip(&head.weights).zip(&head.bias) {
            let sum: f32 = weights.iter().zip(numbers).map(|(w, x)| w * x).sum();
            *slot = 1.0 / (1.0 + (-(sum + bias)).exp());
        }
        probabilities
    }

    /// The probability from which each label holds.
    pub(super) fn thresholds(&self, numbers: usize) -> &PerLabel<f32> {
        &self.head(numbers).thresholds
    }
}
