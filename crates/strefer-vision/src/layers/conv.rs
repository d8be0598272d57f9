//! Convolutions that keep the published shapes of their weights and take maps with the channels last.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::{Linear, ops};

fn fresh(inputs: usize) -> Init {
    let bound = 1.0 / (inputs.max(1) as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// A 1×1 convolution, whose weight is `(o, c, 1, 1)`, as a linear layer.
pub(crate) fn pointwise(input: usize, output: usize, vb: VarBuilder) -> Result<Linear> {
    let weight = vb.get_with_hints((output, input, 1, 1), "weight", fresh(input))?;
    let bias = vb.get_with_hints(output, "bias", Init::Const(0.))?;
    Ok(Linear::new(weight.flatten_from(1)?, Some(bias)))
}

/// A convolution with overlapping patches.
#[derive(Debug, Clone)]
pub(crate) struct Conv2d {
    /// `(o, c, k, k)`
    weight: Tensor,
    bias: Option<Tensor>,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// Of patches `k` wide and high, without a bias.
    pub(crate) fn without_bias(
        (input, output): (usize, usize),
        (k, stride, padding): (usize, usize, usize),
        vb: VarBuilder,
    ) -> Result<Self> {
        let weight = vb.get_with_hints((output, input, k, k), "weight", fresh(input * k * k))?;
        Ok(Self { weight, bias: None, stride, padding })
    }

    pub(crate) fn new(
        (input, output): (usize, usize),
        size: (usize, usize, usize),
        vb: VarBuilder,
    ) -> Result<Self> {
        let plain = Self::without_bias((input, output), size, vb.clone())?;
        Ok(Self { bias: Some(vb.get_with_hints(output, "bias", Init::Const(0.))?), ..plain })
    }

    /// Planes `(b, c, h, w)` → a map `(b, h', w', o)`.
    pub(crate) fn forward_planes(&self, xs: &Tensor) -> Result<Tensor> {
        let ys = xs.contiguous()?.conv2d(&self.weight, self.padding, self.stride, 1, 1)?;
        let ys = ys.permute((0, 2, 3, 1))?.contiguous()?;
        match &self.bias {
            Some(bias) => ys.broadcast_add(bias),
            None => Ok(ys),
        }
    }
}

impl Module for Conv2d {
    /// `(b, h, w, c)` → `(b, h', w', o)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.forward_planes(&xs.permute((0, 3, 1, 2))?)
    }
}

/// A convolution whose stride is its size: a linear layer over patches. What does not fill a patch is left out.
#[derive(Debug, Clone)]
pub(crate) struct PatchConv {
    /// `(o, k*k*c)`
    weight: Tensor,
    bias: Tensor,
    k: usize,
}

impl PatchConv {
    pub(crate) fn new(input: usize, output: usize, k: usize, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get_with_hints((output, input, k, k), "weight", fresh(input * k * k))?;
        let weight = weight.permute((0, 2, 3, 1))?.contiguous()?.flatten_from(1)?;
        Ok(Self { weight, bias: vb.get_with_hints(output, "bias", Init::Const(0.))?, k })
    }
}

impl Module for PatchConv {
    /// `(b, h, w, c)` → `(b, h/k, w/k, o)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (b, h, w, c) = xs.dims4()?;
        let (rows, columns, k) = (h / self.k, w / self.k, self.k);
        let patches = xs
            .narrow(1, 0, rows * k)?
            .narrow(2, 0, columns * k)?
            .reshape((b, rows, k, columns, k, c))?
            .permute((0, 1, 3, 2, 4, 5))?
            .reshape((b, rows, columns, k * k * c))?;
        ops::linear(&patches, &self.weight, Some(&self.bias))
    }
}

/// A transposed k×k convolution of stride k: every cell becomes `k * k`.
#[derive(Debug, Clone)]
pub(crate) struct UpConv {
    /// `(k*k*o, c)`
    weight: Tensor,
    bias: Tensor,
    k: usize,
}

impl UpConv {
    /// Every cell becomes four.
    pub(crate) fn new(input: usize, output: usize, vb: VarBuilder) -> Result<Self> {
        Self::by(2, input, output, vb)
    }

    /// Every cell becomes `k * k`.
    pub(crate) fn by(k: usize, input: usize, output: usize, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get_with_hints((input, output, k, k), "weight", fresh(output * k * k))?;
        let weight = weight.permute((2, 3, 1, 0))?.contiguous()?.reshape((k * k * output, input))?;
        Ok(Self { weight, bias: vb.get_with_hints(output, "bias", Init::Const(0.))?, k })
    }
}

impl Module for UpConv {
    /// `(b, h, w, c)` → `(b, k*h, k*w, o)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (b, h, w, _c) = xs.dims4()?;
        let (o, k) = (self.bias.dim(0)?, self.k);
        let ys = ops::linear(xs, &self.weight, None)?.reshape((b, h, w, k, k, o))?;
        let ys = ys.permute((0, 1, 3, 2, 4, 5))?.reshape((b, k * h, k * w, o))?;
        ys.broadcast_add(&self.bias)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use strefer_nn::ParamStore;
    use strefer_nn::testing::{assert_close, randn};

    use super::*;

    fn planes(xs: &Tensor) -> Tensor {
        xs.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap()
    }

    #[test]
    fn patches_and_upscaling_equal_candle_convolutions() {
        let xs = randn(1, &[2, 7, 6, 3]);
        let store = ParamStore::new(1, &Device::Cpu, DType::F32);
        let vb = store.var_builder();
        let down = PatchConv::new(3, 5, 2, vb.pp("down")).unwrap();
        let up = UpConv::new(3, 4, vb.pp("up")).unwrap();
        let weights = store.tensors();
        let wanted = planes(&xs).conv2d(&weights["down.weight"], 0, 2, 1, 1).unwrap();
        let found = planes(&down.forward(&xs).unwrap());
        assert_close(&found, &wanted, 1e-6);
        let wanted = planes(&xs).conv_transpose2d(&weights["up.weight"], 0, 0, 2, 1).unwrap();
        assert_close(&planes(&up.forward(&xs).unwrap()), &wanted, 1e-6);
        let far = UpConv::by(4, 3, 2, store.var_builder().pp("far")).unwrap();
        let wanted = planes(&xs).conv_transpose2d(&store.tensors()["far.weight"], 0, 0, 4, 1).unwrap();
        assert_close(&planes(&far.forward(&xs).unwrap()), &wanted, 1e-6);
    }
}
