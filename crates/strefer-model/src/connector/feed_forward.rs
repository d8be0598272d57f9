//! The feed-forward block of the Perceiver and of the Token Turing Machine.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::{LayerNorm, Linear, linear_no_bias};

use super::NORM_EPS;

/// Layer norm, a layer four times as wide, exact GELU, a layer back; no biases.
#[derive(Debug, Clone)]
pub(super) struct FeedForward {
    norm: LayerNorm,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    /// Parameters `{0,1,3}` below `vb`.
    pub(super) fn new(dim: usize, vb: VarBuilder) -> Result<Self> {
        let norm = LayerNorm::new(dim, NORM_EPS, vb.pp("0"))?;
        let up = linear_no_bias(dim, 4 * dim, vb.pp("1"))?;
        let down = linear_no_bias(4 * dim, dim, vb.pp("3"))?;
        Ok(Self { norm, up, down })
    }
}

impl Module for FeedForward {
    /// `xs`: `(b, s, d)` → `(b, s, d)`, what is to be added to `xs`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.up.forward_gelu(&xs.apply(&self.norm)?)?.apply(&self.down)
    }
}
