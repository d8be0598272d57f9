//! Normalisation layers.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;

use crate::ops;

/// Root mean square normalisation with a weight.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Over vectors of width `dim`.
    pub fn new(dim: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        Ok(Self { weight: vb.get_with_hints(dim, "weight", Init::Const(1.))?, eps })
    }

    /// `xs + added`, and that normed: twice `(.., dim)`.
    pub fn forward_sum(&self, xs: &Tensor, added: &Tensor) -> Result<(Tensor, Tensor)> {
        ops::sum_rms_norm(xs, added, &self.weight, self.eps)
    }
}

impl Module for RmsNorm {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        ops::rms_norm(xs, &self.weight, self.eps)
    }
}

/// Layer normalisation with weight and bias.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Option<Tensor>,
    eps: f64,
}

impl LayerNorm {
    /// Over vectors of width `dim`.
    pub fn new(dim: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        let bias = Some(vb.get_with_hints(dim, "bias", Init::Const(0.))?);
        Ok(Self { weight: vb.get_with_hints(dim, "weight", Init::Const(1.))?, bias, eps })
    }

    /// Over vectors of width `dim`, without a bias.
    pub fn no_bias(dim: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        Ok(Self { weight: vb.get_with_hints(dim, "weight", Init::Const(1.))?, bias: None, eps })
    }
}

impl Module for LayerNorm {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        ops::layer_norm(xs, &self.weight, self.bias.as_ref(), self.eps)
    }
}
