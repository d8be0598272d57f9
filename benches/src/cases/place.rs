//! Where a case runs and in which type, and what is drawn there.

use candle_core::{DType, Device, Result, Shape, Tensor};
use serde::Deserialize;
use strefer_nn::ParamStore;

/// The type of weights and states.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Precision {
    #[default]
    F32,
    Bf16,
}

/// What a case is meant for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Machine {
    #[default]
    Processor,
    Card,
}

/// A device, and the type of the weights and states there.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) device: Device,
    pub(super) dtype: DType,
}

impl Place {
    pub(super) fn new(device: &Device, precision: Precision) -> Self {
        let dtype = match precision {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        };
        Self { device: device.clone(), dtype }
    }

    /// Weights drawn from a seed; none of them learns.
    pub(super) fn store(&self) -> ParamStore {
        ParamStore::new(1, &self.device, self.dtype)
    }

    /// Numbers between `lo` and `hi`.
    pub(super) fn uniform(&self, lo: f32, hi: f32, shape: impl Into<Shape>) -> Result<Tensor> {
        Tensor::rand(lo, hi, shape, &self.device)?.to_dtype(self.dtype)
    }

    /// Normal numbers.
    pub(super) fn normal(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        Tensor::randn(0f32, 1f32, shape, &self.device)?.to_dtype(self.dtype)
    }

    /// Token ids that are spread over the vocabulary, `(b, s)`.
    pub(super) fn token_ids(&self, b: usize, s: usize, vocab: usize) -> Result<Tensor> {
        let ids: Vec<u32> = (0..b * s).map(|at| (at * 7919 % vocab) as u32).collect();
        Tensor::from_vec(ids, (b, s), &self.device)
    }
}
