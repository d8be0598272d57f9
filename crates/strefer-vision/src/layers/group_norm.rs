//! Normalisation of groups of channels over a whole map.

use candle_core::{D, DType, Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;

const EPS: f64 = 1e-5;

/// Group normalisation with the channels last.
#[derive(Debug, Clone)]
pub(crate) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
}

impl GroupNorm {
    pub(crate) fn new(groups: usize, channels: usize, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get_with_hints(channels, "weight", Init::Const(1.))?;
        Ok(Self { weight, bias: vb.get_with_hints(channels, "bias", Init::Const(0.))?, groups })
    }
}

impl Module for GroupNorm {
    /// `(b, n, c)` → `(b, n, c)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (b, n, c) = xs.dims3()?;
        let groups =
            xs.to_dtype(DType::F32)?.reshape((b, n, self.groups, c / self.groups))?.transpose(1, 2)?;
        let flat = groups.contiguous()?.flatten_from(2)?; // (b, groups, n*c/groups)
        let centred = flat.broadcast_sub(&flat.mean_keepdim(D::Minus1)?)?;
        let spread = (centred.sqr()?.mean_keepdim(D::Minus1)? + EPS)?.sqrt()?;
        let normed = centred.broadcast_div(&spread)?.reshape((b, self.groups, n, c / self.groups))?;
        let normed = normed.transpose(1, 2)?.contiguous()?.reshape((b, n, c))?.to_dtype(xs.dtype())?;
        normed.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)
    }
}
