//! Features averaged under masks.

use candle_core::{Result, Tensor};

use super::card::{tensor, with_tensors};
use super::fused::Fused;
use crate::kernels;
use crate::ops::Pooled;

/// See [`crate::ops::mask_pool`].
pub(in crate::ops) fn mask_pool(feats: &Tensor, pooled: &Pooled) -> Result<Tensor> {
    let (frames, patches, d) = feats.dims3()?;
    let (device, masks) = (feats.device(), pooled.rows.len());
    let shares = Tensor::from_vec(pooled.shares(), masks * patches, device)?;
    let rows = Tensor::from_slice(&pooled.rows, masks, device)?;
    // Without a gradient nobody asks which masks a frame has.
    let lists = if feats.track_op() {
        let (starts, order) = pooled.of_frames(frames);
        Some((Tensor::from_vec(starts, frames + 1, device)?, Tensor::from_vec(order, masks, device)?))
    } else {
        None
    };
    let back_shares = shares.clone();
    let op = Fused::new(
        "mask-pool",
        (masks, d),
        move |card, values| {
            with_tensors(&[&rows, &shares], |_, masks| {
                kernels::mask_pool(card, values[0], masks[0], masks[1], patches, d)
            })
        },
        move |inputs, _ys, grad| {
            let Some((starts, order)) = &lists else { return Ok(vec![None]) };
            let dfeats = with_tensors(&[grad, starts, order, &back_shares], |card, values| {
                kernels::mask_pool_back(card, values[0], (values[1], values[2]), values[3], patches, d)
            })?;
            Ok(vec![Some(tensor(dfeats, inputs[0].shape())?)])
        },
    );
    op.at(&[feats])
}
