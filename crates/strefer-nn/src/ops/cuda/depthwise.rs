//! Depthwise convolution with the channels last.

use candle_core::{Result, Tensor, bail};

use super::card::{tensor, with_tensors};
use super::fused::Fused;
use crate::kernels::{self, Maps};

/// See [`crate::ops::depthwise`].
pub(in crate::ops) fn depthwise(xs: &Tensor, weight: &Tensor, k: usize) -> Result<Tensor> {
    let (batch, h, w, c) = xs.dims4()?;
    if weight.dim(0)? != c {
        bail!("depthwise filters {:?} do not fit maps {:?}", weight.shape(), xs.shape());
    }
    let maps = Maps { batch, h, w, c, k };
    // The transposition has a gradient of its own.
    let filters = weight.reshape((c, k * k))?.t()?.contiguous()?;
    let op = Fused::new(
        "depthwise",
        xs.shape().clone(),
        move |card, values| kernels::depthwise(card, values[0], values[1], false, maps),
        move |inputs, _ys, grad| {
            let (xs, filters) = (inputs[0], inputs[1]);
            let of_maps = xs.track_op().then(|| -> Result<Tensor> {
                let grads = with_tensors(&[grad, filters], |card, values| {
                    kernels::depthwise(card, values[0], values[1], true, maps)
                })?;
                tensor(grads, xs.shape())
            });
            let of_filters = filters.track_op().then(|| -> Result<Tensor> {
                let grads = with_tensors(&[xs, grad], |card, values| {
                    kernels::depthwise_back(card, values[0], values[1], maps)
                })?;
                tensor(grads, filters.shape())
            });
            Ok(vec![of_maps.transpose()?, of_filters.transpose()?])
        },
    );
    op.at(&[xs, &filters])
}
