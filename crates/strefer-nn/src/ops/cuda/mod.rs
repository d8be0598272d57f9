//! Operations on a card, by the kernels of this crate. Compiled for the card, and compared with the operations on the
//! processor there (`tests/kernels`); no card has run them yet.

mod activation;
mod adamw;
mod attention;
mod blas;
mod cached;
mod card;
mod cross_entropy;
mod cudnn;
mod deformable;
mod depthwise;
mod dropout;
mod fused;
mod linear;
mod mask_pool;
mod norm;
mod ragged;
mod recorded;
mod rotary;
mod scaled;
mod softmax;
mod squares;
mod sum;

pub(super) use activation::{gelu_erf, gelu_tanh, silu, swiglu, swiglu_joined};
pub(crate) use adamw::{Moved, adamw, takes_update};
pub(super) use attention::{attention, multi_head_attention, takes_heads};
pub(super) use cached::{Table, attend_cached};
pub(super) use cross_entropy::linear_cross_entropy;
pub use cudnn::cudnn_runs;
pub(super) use deformable::deformable;
pub(super) use depthwise::depthwise;
pub(super) use dropout::dropout;
pub(super) use linear::{
    few_rows, linear, linear_gelu_tanh, linear_unread, linear_updated, takes_few_rows, takes_layer,
};
pub(super) use mask_pool::mask_pool;
pub(super) use norm::{layer_norm, rms_norm, sum_rms_norm};
pub(crate) use recorded::Recorded;
pub(super) use rotary::{rotary, rotary_side_by_side};
pub(super) use scaled::scaled;
pub(super) use softmax::softmax_last;
pub(crate) use squares::squares;
pub(super) use sum::sum;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};

use candle_core::{DType, Result, Tensor};

use super::{KERNELS, kernels_asked_for};
use crate::cudnn::Library;

/// What operations on cards are done by. Composed is what they are without a word, until a card has shown that all give the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kernels {
    /// Operations of candle.
    Composed,
    /// Kernels of this crate, as with `STREFER_KERNELS=fused`.
    Fused,
    /// As [`Kernels::Fused`], and attention by cuDNN where it takes it, as with `STREFER_KERNELS=cudnn`. Its gradients differ in their last
    /// bits from run to run.
    Cudnn,
}

static USED: LazyLock<AtomicU8> =
    LazyLock::new(|| AtomicU8::new(Kernels::asked_for().unwrap_or(Kernels::Composed) as u8));

impl Kernels {
    /// What `STREFER_KERNELS` says.
    ///
    /// # Errors
    /// Another word than `composed`, `fused` and `cudnn`; `cudnn` where that library cannot be loaded.
    pub fn asked_for() -> Result<Self> {
        if !kernels_asked_for()? {
            return Ok(Self::Composed);
        }
        match std::env::var(KERNELS).as_deref() {
            Ok("cudnn") => Library::get().map(|_| Self::Cudnn),
            _ => Ok(Self::Fused),
        }
    }
}

/// Says for the whole process what operations on cards are done by from now on.
pub fn use_kernels(used: Kernels) {
    USED.store(used as u8, Ordering::Relaxed);
}

fn is_used(least: Kernels) -> bool {
    USED.load(Ordering::Relaxed) >= least as u8
}

/// Whether operations on cards are done by kernels of this crate.
pub(super) fn are_used() -> bool {
    is_used(Kernels::Fused)
}

fn is_float(xs: &Tensor) -> bool {
    matches!(xs.dtype(), DType::F32 | DType::BF16 | DType::F16)
}

/// Whether all of `tensors` are of one float type that kernels take, on a card.
pub(super) fn applies<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> bool {
    let mut tensors = tensors.into_iter();
    let Some(first) = tensors.next() else { return false };
    are_used()
        && first.device().is_cuda()
        && is_float(first)
        && tensors.all(|xs| xs.dtype() == first.dtype() && xs.device().is_cuda())
}

/// Whether values on a card can be turned by tables there, whatever float type each has.
pub(super) fn turns<'a>(xs: &Tensor, tables: impl IntoIterator<Item = &'a Tensor>) -> bool {
    let table = |table: &Tensor| table.device().is_cuda() && is_float(table) && !table.track_op();
    applies([xs]) && tables.into_iter().all(table)
}
