//! RMS norm and layer norm.

use candle_core::{Result, Tensor, bail};

use super::card::{tensor, with_tensors};
use super::fused::{Fused, Grads};
use crate::kernels::{self, Norm};

/// See [`crate::ops::rms_norm`].
pub(in crate::ops) fn rms_norm(xs: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    norm(Norm::Rms, xs, weight, None, eps as f32)
}

/// See [`crate::ops::sum_rms_norm`]; keeps no history.
pub(in crate::ops) fn sum_rms_norm(
    xs: &Tensor,
    added: &Tensor,
    weight: &Tensor,
    eps: f64,
) -> Result<(Tensor, Tensor)> {
    let d = weight.dims1()?;
    if d == 0 || xs.dims().last() != Some(&d) || xs.dims() != added.dims() {
        bail!("a norm over {d} values cannot take {:?} and {:?}", xs.shape(), added.shape());
    }
    let [sum, normed] = with_tensors(&[xs, added, weight], |card, values| {
        kernels::sum_norm(card, [values[0], values[1]], values[2], eps as f32)
    })?;
    Ok((tensor(sum, xs.shape())?, tensor(normed, xs.shape())?))
}

/// See [`crate::ops::layer_norm`].
pub(in crate::ops) fn layer_norm(
    xs: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    norm(Norm::Layer, xs, weight, bias, eps as f32)
}

fn norm(norm: Norm, xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f32) -> Result<Tensor> {
    let d = weight.dims1()?;
    if d == 0 || xs.dims().last() != Some(&d) {
        bail!("a norm over {d} values cannot take {:?}", xs.shape());
    }
    let inputs: Vec<&Tensor> = [xs, weight].into_iter().chain(bias).collect();
    let name = match norm {
        Norm::Rms => "rms-norm",
        Norm::Layer => "layer-norm",
    };
    let op = Fused::new(
        name,
        xs.shape().clone(),
        move |card, values| kernels::norm(card, norm, values[0], values[1], values.get(2).copied(), eps),
        move |inputs, _ys, grad| back(norm, inputs, grad, eps),
    );
    op.at(&inputs)
}

fn back(norm: Norm, inputs: &[&Tensor], grad: &Tensor, eps: f32) -> Result<Grads> {
    let (xs, weight) = (inputs[0], inputs[1]);
    let wants = |at: usize| inputs.get(at).is_some_and(|input| input.track_op());
    let wanted = [wants(0), wants(1), wants(2)];
    let found = with_tensors(&[xs, weight, grad], |card, values| {
        kernels::norm_back(card, norm, values[0], values[1], values[2], wanted, eps)
    })?;
    Ok(vec![
        found.input.map(|grad| tensor(grad, xs.shape())).transpose()?,
        found.weight.map(|grad| tensor(grad, weight.shape())).transpose()?,
        found.bias.map(|grad| tensor(grad, weight.shape())).transpose()?,
    ])
}
