//! Values of which some are dropped.

use candle_core::{Result, Tensor};
use strefer_core::Rng;

use super::card::{tensor, with_tensors};
use super::fused::Fused;
use crate::kernels;

/// See [`crate::ops::dropout`].
pub(in crate::ops) fn dropout(xs: &Tensor, rng: &Rng, probability: f64) -> Result<Tensor> {
    let (rng, again) = (rng.clone(), rng.clone());
    let op = Fused::new(
        "dropout",
        xs.shape().clone(),
        move |card, values| kernels::dropout(card, values[0], &rng, probability),
        move |inputs, _ys, grad| {
            let dxs =
                with_tensors(&[grad], |card, values| kernels::dropout(card, values[0], &again, probability))?;
            Ok(vec![Some(tensor(dxs, inputs[0].shape())?)])
        },
    );
    op.at(&[xs])
}
