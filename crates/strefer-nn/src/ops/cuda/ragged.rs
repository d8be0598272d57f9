//! Attention of sequences by cuDNN.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor, bail};

use super::attention::{as_they_lie, places_of_rows};
use super::card::{tensor, with_tensors, with_views};
use super::cudnn;
use super::fused::{Fused, Grads};
use crate::kernels::{self, Attention, Ragged, Values};
use crate::ops::AttentionMask;

/// With fewer queries a kernel that shares the keys of one query among blocks is faster.
const LEAST_QUERIES: usize = 64;

/// Widths of heads whose gradients lie where the library expects them are multiples of this.
const TRAINED_WIDTHS: usize = 16;

/// [`super::multi_head_attention`] where cuDNN is asked for and takes it; whether it does depends on the card, shapes, layouts and the mask
/// alone.
pub(super) fn attention(
    [q, k, v]: [&Tensor; 3],
    mask: &AttentionMask,
    call: Attention,
) -> Result<Option<Tensor>> {
    let tracked = [q, k, v].iter().any(|xs| xs.track_op());
    if call.queries < LEAST_QUERIES || (tracked && !call.hd.is_multiple_of(TRAINED_WIDTHS)) {
        return Ok(None);
    }
    if tracked {
        let Some((ragged, lists)) = taken(q, mask, call, true)? else { return Ok(None) };
        return with_history([q, k, v], mask.lists_on(&call, lists, q.device())?, ragged).map(Some);
    }
    // Views are read where they lie: a cache is not copied.
    let ([q, k, v], call) = as_they_lie([q, k, v], call, |xs| places_of_rows(xs, call.hd))?;
    let Some((ragged, lists)) = taken(&q, mask, call, false)? else { return Ok(None) };
    let lists = mask.lists_on(&call, lists, q.device())?;
    let (out, _sums) = with_views(&[&q, &k, &v, &lists], |card, values| {
        kernels::ragged(card, [values[0], values[1], values[2]], values[3], ragged)
    })?;
    tensor(out, q.shape()).map(Some)
}

fn taken(
    q: &Tensor,
    mask: &AttentionMask,
    call: Attention,
    tracked: bool,
) -> Result<Option<(Ragged, Vec<u32>)>> {
    let Some((ragged, lists)) = Ragged::new(call, mask) else { return Ok(None) };
    let taken = cudnn::takes(q.device(), &ragged, q.dtype(), tracked)?;
    Ok(taken.then_some((ragged, lists)))
}

fn with_history([q, k, v]: [&Tensor; 3], lists: Tensor, ragged: Ragged) -> Result<Tensor> {
    // The backward needs it, and is not handed it.
    let kept: Arc<Mutex<Option<Tensor>>> = Arc::default();
    let (to_keep, of_forward) = (kept.clone(), lists.clone());
    let op = Fused::new(
        "ragged attention",
        q.shape().clone(),
        move |card, values| {
            let (out, sums) = with_tensors(&[&of_forward], |_, of_lists| {
                kernels::ragged(card, [values[0], values[1], values[2]], of_lists[0], ragged)
            })?;
            *to_keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(tensor(sums, ragged.sums())?);
            Ok(out)
        },
        move |inputs, ys, grad| {
            let sums = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(sums) = sums else { bail!("ragged attention: a backward before its forward") };
            back(inputs, [ys, &sums, grad, &lists], ragged)
        },
    );
    op.at(&[q, k, v])
}

fn back(inputs: &[&Tensor], results: [&Tensor; 4], ragged: Ragged) -> Result<Grads> {
    let tensors: Vec<&Tensor> = inputs.iter().copied().chain(results).collect();
    let found = with_tensors(&tensors, |card, values: &[Values]| {
        let (inputs, results) = ([values[0], values[1], values[2]], [values[3], values[4], values[5]]);
        kernels::ragged_back(card, inputs, results, values[6], ragged)
    })?;
    let grads = [(found.q, inputs[0]), (found.k, inputs[1]), (found.v, inputs[2])];
    grads.into_iter().map(|(grad, input)| tensor(grad, input.shape()).map(Some)).collect()
}
