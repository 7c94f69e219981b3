//! A weight matrix `[outputs, inputs]`, plain or in ggml's blocks.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{Result, Tensor};

use super::kernel;

/// Cloning it is cheap.
#[derive(Clone, Debug)]
pub(crate) enum Matrix {
    Dense(Tensor),
    Quantised(Arc<QTensor>),
}

impl Matrix {
    /// `[tokens, inputs]` to `[tokens, outputs]`.
    pub(crate) fn product(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(weight) => match kernel::dense_product(weight, x)? {
                Some(y) => Ok(y),
                None => x.matmul(&weight.t()?),
            },
            Self::Quantised(weight) => match kernel::quantised_product(weight, x)? {
                Some(y) => Ok(y),
                None => x.apply_op1_no_bwd(weight.as_ref()),
            },
        }
    }

    /// The rows of `ids`, `[ids, inputs]`.
    pub(crate) fn rows(&self, ids: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(weight) => weight.index_select(ids, 0),
            Self::Quantised(weight) => weight.embedding(ids),
        }
    }

    /// Bytes of memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Dense(weight) => weight.elem_count() * weight.dtype().size_in_bytes(),
            Self::Quantised(weight) => weight.storage_size_in_bytes(),
        }
    }
}
