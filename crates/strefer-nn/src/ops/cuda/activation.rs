//! GELU, SiLU and SwiGLU.

use candle_core::{Result, Shape, Tensor, bail};

use super::card::{tensor, with_tensors};
use super::fused::Fused;
use crate::kernels::{self, Activation, Gated, GatedGrads, Values};

fn activation(function: Activation, name: &'static str, xs: &Tensor) -> Result<Tensor> {
    let op = Fused::new(
        name,
        xs.shape().clone(),
        move |card, values| kernels::activation(card, function, values[0]),
        move |inputs, _ys, grad| {
            let dxs = with_tensors(&[inputs[0], grad], |card, values| {
                kernels::activation_back(card, function, values[0], values[1])
            })?;
            Ok(vec![Some(tensor(dxs, inputs[0].shape())?)])
        },
    );
    op.at(&[xs])
}

/// See [`crate::ops::gelu_erf`].
pub(in crate::ops) fn gelu_erf(xs: &Tensor) -> Result<Tensor> {
    activation(Activation::GeluErf, "gelu-erf", xs)
}

/// See [`crate::ops::gelu_tanh`].
pub(in crate::ops) fn gelu_tanh(xs: &Tensor) -> Result<Tensor> {
    activation(Activation::GeluTanh, "gelu-tanh", xs)
}

/// See [`crate::ops::silu`].
pub(in crate::ops) fn silu(xs: &Tensor) -> Result<Tensor> {
    activation(Activation::Silu, "silu", xs)
}

/// See [`crate::ops::swiglu`].
pub(in crate::ops) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if gate.shape() != up.shape() {
        bail!("swiglu: gate has shape {:?}, up {:?}", gate.shape(), up.shape());
    }
    gated(&[gate, up], gate.shape(), |values| Gated::Apart { gate: values[0], up: values[1] })
}

/// See [`crate::ops::swiglu_joined`]; halves of `width`.
pub(in crate::ops) fn swiglu_joined(both: &Tensor, width: usize) -> Result<Tensor> {
    let mut dims = both.dims().to_vec();
    dims.pop();
    dims.push(width);
    gated(&[both], &dims.into(), move |values| Gated::Joined { both: values[0], width })
}

fn gated(
    inputs: &[&Tensor],
    shape: &Shape,
    gated: impl Fn(&[Values]) -> Gated + Copy + Send + Sync + 'static,
) -> Result<Tensor> {
    let op = Fused::new(
        "swiglu",
        shape,
        move |card, values| kernels::swiglu(card, gated(values)),
        move |inputs, _ys, grad| {
            let all: Vec<&Tensor> = inputs.iter().copied().chain([grad]).collect();
            let found = with_tensors(&all, |card, values| {
                kernels::swiglu_back(card, gated(values), values[inputs.len()])
            })?;
            let grads = match found {
                GatedGrads::Apart(grads) => Vec::from(grads),
                GatedGrads::Joined(grad) => vec![grad],
            };
            grads.into_iter().map(|grad| tensor(grad, inputs[0].shape()).map(Some)).collect()
        },
    );
    op.at(inputs)
}
