//! Cross-entropy of a linear layer, whose scores become losses and gradients where they lie.

use candle_core::{CudaStorage, Layout, Result, Tensor};

use super::card::{Card, in_place, tensor, with_tensors};
use crate::kernels;
use crate::ops::composed::{self, Chunked};
use crate::tape;

/// See [`composed::linear_cross_entropy`].
pub(in crate::ops) fn linear_cross_entropy(
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    labels: &Tensor,
    chunk: usize,
) -> Result<(Tensor, Tensor)> {
    let found =
        composed::cross_entropy_by_chunks(hidden, weight, bias, labels, chunk, |scores, labels, track| {
            let scores = scores.contiguous()?;
            let losses = with_tensors(&[labels], |_, labels| {
                in_place(&scores, |scores: &mut CudaStorage, layout: &Layout| {
                    let device = scores.device.clone();
                    let card = Card::new(&device);
                    let values = card.lend_mut(scores, layout)?;
                    let losses = kernels::cross_entropy(&card, values, labels[0], track)?;
                    card.written(scores)?;
                    Ok(losses)
                })
            })?;
            let losses = tensor(losses, labels.elem_count())?;
            Ok((losses, track.then_some(scores)))
        })?;
    if !tape::is_on() {
        return found.with_history([Some(hidden), Some(weight), bias]);
    }
    let Chunked { loss, each, grads } = found;
    let inputs: Vec<Tensor> = [hidden, weight].into_iter().chain(bias).cloned().collect();
    let backward = move |inputs: &[&Tensor], _: &Tensor, grad: &Tensor| {
        // Of the sum's type; a number.
        let of = |of: &Option<Tensor>| of.as_ref().map(|of| of.broadcast_mul(&grad.to_dtype(of.dtype())?));
        inputs.iter().zip(&grads).map(|(_, grad)| of(grad).transpose()).collect()
    };
    Ok((tape::known(inputs, &loss, Box::new(backward))?, each))
}
