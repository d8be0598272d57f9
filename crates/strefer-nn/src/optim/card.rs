//! Updates by a card's kernels.

use candle_core::Result;

use super::adamw::{Moments, Slot, Turn};
use super::moments::code_values;
use crate::kernels::{AdamRates, AdamStep};
use crate::ops::{Moved, adamw};

/// Takes those turns that kernels take, and returns the others.
pub(super) fn by_kernels(turns: Vec<Turn>) -> Result<Vec<Turn>> {
    let is_own = |turn: &Turn| moved(turn).is_some_and(|moved| moved.is_taken());
    let (own, others): (Vec<Turn>, Vec<Turn>) = turns.into_iter().partition(is_own);
    if let Some(Turn { update, .. }) = own.first() {
        let step =
            AdamStep { factor: update.factor, beta1: update.beta1, beta2: update.beta2, eps: update.eps };
        adamw(own.iter().filter_map(moved).collect(), step, &code_values())?;
    }
    Ok(others)
}

/// What kernels would move in a turn; nothing where it lies on the host.
fn moved<'a>(turn: &'a Turn) -> Option<Moved<'a>> {
    let Turn { slot: Slot { var, moments, .. }, grad, update } = turn;
    let Moments::Device { first, second, master } = moments else { return None };
    Some(Moved {
        var: var.as_tensor(),
        master: master.as_ref(),
        moments: [first, second],
        grad,
        rates: AdamRates { keep: update.keep, rate: update.rate, second_scale: update.second_scale },
    })
}
