//! Linear layers with something non-linear between them.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::{Linear, linear};

/// What stands between the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    Relu,
    Gelu,
}

/// A chain of linear layers.
#[derive(Debug, Clone)]
pub(crate) struct Mlp {
    layers: Vec<Linear>,
    between: Between,
}

impl Mlp {
    /// Layers `names` of widths `widths`, which has one entry more, with ReLU between them.
    pub(crate) fn relu(widths: &[usize], names: &[String], vb: VarBuilder) -> Result<Self> {
        Self::new(widths, names, Between::Relu, vb)
    }

    /// Two layers with an exact GELU between them.
    pub(crate) fn gelu(width: usize, inner: usize, names: [&str; 2], vb: VarBuilder) -> Result<Self> {
        Self::new(&[width, inner, width], &names.map(str::to_owned), Between::Gelu, vb)
    }

    fn new(widths: &[usize], names: &[String], between: Between, vb: VarBuilder) -> Result<Self> {
        let layer = |(at, name): (usize, &String)| linear(widths[at], widths[at + 1], vb.pp(name));
        Ok(Self { layers: names.iter().enumerate().map(layer).collect::<Result<_>>()?, between })
    }
}

impl Module for Mlp {
    /// `(.., first width)` → `(.., last width)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let Some((last, before)) = self.layers.split_last() else { return Ok(xs.clone()) };
        let inside = before.iter().try_fold(xs.clone(), |xs, layer| match self.between {
            Between::Relu => xs.apply(layer)?.relu(),
            Between::Gelu => layer.forward_gelu(&xs),
        })?;
        inside.apply(last)
    }
}
