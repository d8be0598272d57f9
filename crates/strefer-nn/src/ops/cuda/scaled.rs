//! Values times a number, in another type.

use candle_core::{DType, Result, Tensor};

use super::card::{tensor, with_tensors};
use super::fused::Fused;
use crate::kernels;

/// See [`crate::ops::scaled`].
pub(in crate::ops) fn scaled(xs: &Tensor, dtype: DType, factor: f64) -> Result<Tensor> {
    let factor = factor as f32;
    let op = Fused::new(
        "scaled",
        xs.shape().clone(),
        move |card, values| kernels::scale(card, values[0], dtype, factor),
        move |inputs, _ys, grad| {
            let dxs = with_tensors(&[grad], |card, values| {
                kernels::scale(card, values[0], inputs[0].dtype(), factor)
            })?;
            Ok(vec![Some(tensor(dxs, inputs[0].shape())?)])
        },
    );
    op.at(&[xs])
}
