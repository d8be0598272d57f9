//! Softmax over the last dimension.

use candle_core::{Result, Tensor};

use super::card::{tensor, with_tensors};
use super::fused::Fused;
use crate::kernels;

/// See [`crate::ops::softmax_last`].
pub(in crate::ops) fn softmax_last(xs: &Tensor) -> Result<Tensor> {
    let d = xs.dims().last().copied().unwrap_or(1);
    let op = Fused::new(
        "softmax-last",
        xs.shape().clone(),
        move |card, values| kernels::softmax(card, values[0], d),
        move |inputs, ys, grad| {
            let dxs = with_tensors(&[ys, grad], |card, values| {
                kernels::softmax_back(card, values[0], values[1], d)
            })?;
            Ok(vec![Some(tensor(dxs, inputs[0].shape())?)])
        },
    );
    op.at(&[xs])
}
