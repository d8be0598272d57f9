//! Attention, of heads in both layouts that models have them in.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor, bail};

use super::card::{Card, tensor, with_tensors, with_views};
use super::fused::{Fused, Grads};
use super::{Kernels, is_used, ragged};
use crate::kernels::{self, Attention, Places, Sight, Values};
use crate::ops::{AttentionMask, Heads};

/// Whether there are kernels for heads of this width.
pub(in crate::ops) fn takes_heads(xs: &Tensor, hd: usize) -> bool {
    Attention::takes(xs.dtype(), hd)
}

/// See [`crate::ops::attention`].
pub(in crate::ops) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f64,
    mask: &AttentionMask,
) -> Result<Tensor> {
    let (batch, query, queries, hd) = q.dims4()?;
    let (_b, key, keys, _hd) = k.dims4()?;
    same_dims(k, &[batch, key, keys, hd])?;
    same_dims(v, &[batch, key, keys, hd])?;
    let q_places = Places::heads_first(query, queries, hd);
    let call = Attention {
        batch,
        queries,
        keys,
        heads: Heads { query, key, scale },
        hd,
        q: q_places,
        k: Places::heads_first(key, keys, hd),
        out: q_places,
    };
    run([q, k, v], mask, call, |xs| match *xs.stride() {
        [batch, head, position, 1] => Some(Places { batch, position, head }),
        _ => None,
    })
}

/// See [`crate::ops::multi_head_attention`]; heads are turned already.
pub(in crate::ops) fn multi_head_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: Heads,
    mask: &AttentionMask,
) -> Result<Tensor> {
    let (batch, queries, width) = q.dims3()?;
    let (_b, keys, _width) = k.dims3()?;
    let hd = width / heads.query.max(1);
    same_dims(q, &[batch, queries, heads.query * hd])?;
    same_dims(k, &[batch, keys, heads.key * hd])?;
    same_dims(v, &[batch, keys, heads.key * hd])?;
    let q_places = Places::side_by_side(heads.query, queries, hd);
    let k_places = Places::side_by_side(heads.key, keys, hd);
    let call = Attention { batch, queries, keys, heads, hd, q: q_places, k: k_places, out: q_places };
    mask.check(batch, queries, keys)?;
    if is_used(Kernels::Cudnn)
        && let Some(found) = ragged::attention([q, k, v], mask, call)?
    {
        return Ok(found);
    }
    run([q, k, v], mask, call, |xs| places_of_rows(xs, hd))
}

/// Where heads that lie side by side lie in a view.
pub(super) fn places_of_rows(xs: &Tensor, hd: usize) -> Option<Places> {
    match *xs.stride() {
        [batch, position, 1] => Some(Places { batch, position, head: hd }),
        _ => None,
    }
}

fn same_dims(xs: &Tensor, dims: &[usize]) -> Result<()> {
    if xs.dims() == dims {
        Ok(())
    } else {
        bail!("attention over {:?}, where {dims:?} are needed", xs.shape())
    }
}

/// What kernels read of a mask.
struct OnCard {
    mask: AttentionMask,
    ids: Option<Tensor>,
    by_rows: Tensor,
}

impl OnCard {
    /// Hands the mask's values to `work`, behind those of `tensors`.
    fn lend<R>(
        &self,
        tensors: &[&Tensor],
        work: impl FnOnce(&Card, &[Values], Sight<'_>) -> Result<R>,
    ) -> Result<R> {
        let all: Vec<&Tensor> =
            tensors.iter().copied().chain([&self.by_rows]).chain(self.ids.as_ref()).collect();
        with_tensors(&all, |card, values| {
            let (values, of_mask) = values.split_at(tensors.len());
            let sight = Sight { mask: &self.mask, by_rows: of_mask[0], ids: of_mask.get(1).copied() };
            work(card, values, sight)
        })
    }
}

/// `places` says where the heads of a view lie, if they do in a way that kernels can read.
fn run(
    [q, k, v]: [&Tensor; 3],
    mask: &AttentionMask,
    call: Attention,
    places: impl Fn(&Tensor) -> Option<Places>,
) -> Result<Tensor> {
    mask.check(call.batch, call.queries, call.keys)?;
    let on_card = Arc::new(OnCard {
        mask: mask.clone(),
        ids: mask.ids_on(q.device())?,
        by_rows: mask.tiles_on(call.by_rows(), true, q.device())?,
    });
    if ![q, k, v].iter().any(|xs| xs.track_op()) {
        return without_history([q, k, v], &on_card, call, places);
    }
    // The backward needs it, and is not handed it.
    let kept: Arc<Mutex<Option<Tensor>>> = Arc::default();
    let (of_forward, to_keep) = (on_card.clone(), kept.clone());
    let rows = call.batch * call.queries * call.heads.query;
    let op = Fused::new(
        "attention",
        q.shape().clone(),
        move |card, values| {
            of_forward.lend(&[], |_, _, sight| {
                let (out, lse) = kernels::attention(card, [values[0], values[1], values[2]], sight, call)?;
                *to_keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(tensor(lse, rows)?);
                Ok(out)
            })
        },
        move |inputs, ys, grad| {
            let lse = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(lse) = lse else { bail!("attention: a backward before its forward") };
            back(inputs, [ys, &lse, grad], &on_card, call)
        },
    );
    op.at(&[q, k, v])
}

/// Reads views where they lie: a cache is not copied.
fn without_history(
    [q, k, v]: [&Tensor; 3],
    on_card: &OnCard,
    call: Attention,
    places: impl Fn(&Tensor) -> Option<Places>,
) -> Result<Tensor> {
    let ([q, k, v], call) = as_they_lie([q, k, v], call, places)?;
    let (out, _lse) = with_views(&[&q, &k, &v], |card, values| {
        on_card
            .lend(&[], |_, _, sight| kernels::attention(card, [values[0], values[1], values[2]], sight, call))
    })?;
    tensor(out, q.shape())
}

/// Views whose heads lie in a way that kernels can read, and where they do; copies of the others, which lie as `call` says.
pub(super) fn as_they_lie(
    [q, k, v]: [&Tensor; 3],
    call: Attention,
    places: impl Fn(&Tensor) -> Option<Places>,
) -> Result<([Tensor; 3], Attention)> {
    let even = |xs: &Tensor| places(xs).filter(|places| places.is_even(xs.layout().start_offset()));
    let (q, q_places) = match even(q) {
        Some(places) => (q.clone(), places),
        None => (q.contiguous()?, call.q),
    };
    let (k, v, k_places) = match (even(k), even(v)) {
        (Some(of_k), Some(of_v)) if of_k == of_v => (k.clone(), v.clone(), of_k),
        _ => (k.contiguous()?, v.contiguous()?, call.k),
    };
    Ok(([q, k, v], Attention { q: q_places, k: k_places, ..call }))
}

fn back(inputs: &[&Tensor], results: [&Tensor; 3], on_card: &OnCard, call: Attention) -> Result<Grads> {
    let by_keys = on_card.mask.tiles_on(call.by_keys(), false, inputs[0].device())?;
    let tensors: Vec<&Tensor> = inputs.iter().copied().chain(results).chain([&by_keys]).collect();
    let found = on_card.lend(&tensors, |card, values, sight| {
        let (inputs, results) = ([values[0], values[1], values[2]], [values[3], values[4], values[5]]);
        kernels::attention_back(card, inputs, results, sight, values[6], call)
    })?;
    let grads = [(found.q, inputs[0]), (found.k, inputs[1]), (found.v, inputs[2])];
    grads.into_iter().map(|(grad, input)| tensor(grad, input.shape()).map(Some)).collect()
}
