//! The block of ConvNeXt: wide filters in each channel, then an MLP across channels.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::{LayerNorm, Linear, linear, ops};

/// Side of the filters.
const SIDE: usize = 7;

/// Names of a block's parts: filters, norm, the two linear layers, scale.
pub(crate) type BlockNames<'a> = [&'a str; 5];

/// Filters, norm, MLP and a scale for each channel, added to what came in.
#[derive(Debug, Clone)]
pub(crate) struct ConvNextBlock {
    /// `(d, 1, 7, 7)`
    depthwise: Tensor,
    depthwise_bias: Tensor,
    norm: LayerNorm,
    first: Linear,
    second: Linear,
    scale: Tensor,
}

impl ConvNextBlock {
    pub(crate) fn new(d: usize, inner: usize, names: BlockNames<'_>, vb: VarBuilder) -> Result<Self> {
        let [filters, norm, first, second, scale] = names;
        let conv = vb.pp(filters);
        let spread = Init::Randn { mean: 0.0, stdev: 1.0 / SIDE as f64 };
        Ok(Self {
            depthwise: conv.get_with_hints((d, 1, SIDE, SIDE), "weight", spread)?,
            depthwise_bias: conv.get_with_hints(d, "bias", Init::Const(0.))?,
            norm: LayerNorm::new(d, 1e-6, vb.pp(norm))?,
            first: linear(d, inner, vb.pp(first))?,
            second: linear(inner, d, vb.pp(second))?,
            scale: vb.get_with_hints(d, scale, Init::Const(1e-6))?,
        })
    }
}

impl Module for ConvNextBlock {
    /// `(b, h, w, d)` → `(b, h, w, d)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let ys = ops::depthwise(xs, &self.depthwise)?.broadcast_add(&self.depthwise_bias)?;
        let ys = self.first.forward_gelu(&ys.apply(&self.norm)?)?;
        xs + ys.apply(&self.second)?.broadcast_mul(&self.scale)?
    }
}
