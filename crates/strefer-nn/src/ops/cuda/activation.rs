//! GELU, SiLU and SwiGLU.

use candle_core::{Result, Tensor, bail};

use super::card::{tensor, with_tensors};
use super::fused::Fused;
use crate::kernels::{self, Activation};

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
    let op = Fused::new(
        "swiglu",
        gate.shape().clone(),
        |card, values| kernels::swiglu(card, values[0], values[1]),
        |inputs, _ys, grad| {
            let grads = with_tensors(&[inputs[0], inputs[1], grad], |card, values| {
                kernels::swiglu_back(card, values[0], values[1], values[2])
            })?;
            grads.into_iter().map(|grad| tensor(grad, inputs[0].shape()).map(Some)).collect()
        },
    );
    op.at(&[gate, up])
}
