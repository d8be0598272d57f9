//! The convolution block of the STC connector (RegNet, arXiv 2003.13678), on maps with the channels last: there, a 1×1
//! convolution is a linear layer, and a norm over channels an ordinary layer norm.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::{LayerNorm, ops};

use super::NORM_EPS;

/// Spread of fresh filters over `inputs` values.
fn fresh_filter(inputs: usize) -> Init {
    let bound = 1.0 / (inputs.max(1) as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// 1×1 convolution: `(o, d, 1, 1)`, with or without a bias.
#[derive(Debug, Clone)]
struct Pointwise {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Pointwise {
    fn new(input: usize, output: usize, bias: bool, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get_with_hints((output, input, 1, 1), "weight", fresh_filter(input))?;
        let bias = if bias { Some(vb.get_with_hints(output, "bias", Init::Const(0.))?) } else { None };
        Ok(Self { weight, bias })
    }
}

impl Module for Pointwise {
    /// `xs`: `(.., d)` → `(.., o)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        ops::linear(xs, &self.weight.flatten_from(1)?, self.bias.as_ref())
    }
}

/// 1×1 convolution and norm. The norm is called `bn` in checkpoints, and is a layer norm.
#[derive(Debug, Clone)]
struct PointwiseNorm {
    conv: Pointwise,
    bn: LayerNorm,
}

impl PointwiseNorm {
    fn new(input: usize, output: usize, vb: VarBuilder) -> Result<Self> {
        let conv = Pointwise::new(input, output, false, vb.pp("conv"))?;
        Ok(Self { conv, bn: LayerNorm::new(output, NORM_EPS, vb.pp("bn"))? })
    }
}

impl Module for PointwiseNorm {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        xs.apply(&self.conv)?.apply(&self.bn)
    }
}

/// Depthwise 3×3 convolution, `(d, 1, 3, 3)`, and norm.
#[derive(Debug, Clone)]
struct DepthwiseNorm {
    weight: Tensor,
    bn: LayerNorm,
}

impl DepthwiseNorm {
    fn new(dim: usize, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get_with_hints((dim, 1, 3, 3), "conv.weight", fresh_filter(9))?;
        Ok(Self { weight, bn: LayerNorm::new(dim, NORM_EPS, vb.pp("bn"))? })
    }
}

impl Module for DepthwiseNorm {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        ops::depthwise(xs, &self.weight)?.apply(&self.bn)
    }
}

/// Weighs channels by what the whole map holds (squeeze and excitation, arXiv 1709.01507).
#[derive(Debug, Clone)]
struct SqueezeExcite {
    fc1: Pointwise,
    fc2: Pointwise,
}

impl SqueezeExcite {
    fn new(dim: usize, squeezed: usize, vb: VarBuilder) -> Result<Self> {
        let fc1 = Pointwise::new(dim, squeezed, true, vb.pp("fc1"))?;
        Ok(Self { fc1, fc2: Pointwise::new(squeezed, dim, true, vb.pp("fc2"))? })
    }
}

impl Module for SqueezeExcite {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (b, _h, _w, d) = xs.dims4()?;
        let mean = xs.flatten(1, 2)?.mean(1)?; // (b, d)
        let weights = ops::silu(&mean.apply(&self.fc1)?)?.apply(&self.fc2)?;
        xs.broadcast_mul(&candle_nn::ops::sigmoid(&weights)?.reshape((b, 1, 1, d))?)
    }
}

/// 1×1, depthwise 3×3, squeeze and excitation, 1×1, and what came in added.
#[derive(Debug, Clone)]
pub(super) struct RegBlock {
    conv1: PointwiseNorm,
    conv2: DepthwiseNorm,
    se: SqueezeExcite,
    conv3: PointwiseNorm,
    downsample: Option<PointwiseNorm>,
}

impl RegBlock {
    pub(super) fn new(input: usize, output: usize, vb: VarBuilder) -> Result<Self> {
        let squeezed = (input as f64 * 0.25).round_ties_even() as usize;
        let downsample = match input == output {
            true => None,
            false => Some(PointwiseNorm::new(input, output, vb.pp("downsample"))?),
        };
        Ok(Self {
            conv1: PointwiseNorm::new(input, output, vb.pp("conv1"))?,
            conv2: DepthwiseNorm::new(output, vb.pp("conv2"))?,
            se: SqueezeExcite::new(output, squeezed, vb.pp("se"))?,
            conv3: PointwiseNorm::new(output, output, vb.pp("conv3"))?,
            downsample,
        })
    }
}

impl Module for RegBlock {
    /// `xs`: `(b, h, w, input)` → `(b, h, w, output)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        // Each map goes as soon as the next is there: they are what a forward pass holds most of.
        let mut ys = ops::silu(&xs.apply(&self.conv1)?)?;
        ys = ops::silu(&ys.apply(&self.conv2)?)?;
        ys = ys.apply(&self.se)?;
        ys = ys.apply(&self.conv3)?;
        let shortcut = match &self.downsample {
            Some(downsample) => xs.apply(downsample)?,
            None => xs.clone(),
        };
        ops::silu(&(ys + shortcut)?)
    }
}
