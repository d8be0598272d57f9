//! AdamW over flat buffers.

use candle_core::{DType, Result, bail};

use super::{Arg, Launch, Runner, Values, check, pack, packed, suffix};

/// Everything one update needs, worked out once per parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamUpdate {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Keeps the division finite.
    pub eps: f32,
    /// `1 - lr * weight_decay`
    pub keep: f32,
    /// `lr / (1 - beta1^step)`
    pub rate: f32,
    /// `1 / sqrt(1 - beta2^step)`
    pub second_scale: f32,
}

/// One update in place. `weight` are the weights where they are narrower than `master`.
pub fn adamw<R: Runner>(
    runner: &R,
    master: Values,
    weight: Option<Values>,
    grad: Values,
    [first, second]: [Values; 2],
    update: AdamUpdate,
) -> Result<()> {
    let count = master.count;
    for (what, values) in [("master weights", master), ("first moments", first), ("second moments", second)] {
        check(what, values, DType::F32, count)?;
    }
    let dtype = weight.map_or(DType::F32, |weight| weight.dtype);
    if let Some(weight) = weight {
        check("weights", weight, dtype, count)?;
    }
    check("gradients", grad, grad.dtype, count)?;
    if grad.dtype != DType::F32 && grad.dtype != dtype {
        bail!("gradients of {:?} do not fit weights of {dtype:?}", grad.dtype);
    }
    if count == 0 {
        return Ok(());
    }
    let all: Vec<Values> = [master, grad, first, second].into_iter().chain(weight).collect();
    let args = vec![
        Arg::Pointer(master.address),
        super::pointer(weight),
        Arg::Pointer(grad.address),
        Arg::Pointer(first.address),
        Arg::Pointer(second.address),
        Arg::Long(count as i64),
        Arg::Float(update.beta1),
        Arg::Float(update.beta2),
        Arg::Float(update.eps),
        Arg::Float(update.keep),
        Arg::Float(update.rate),
        Arg::Float(update.second_scale),
        Arg::Int(packed(pack(&all), &all).into()),
    ];
    let kernel = format!("adamw_{}_{}", suffix(dtype)?, suffix(grad.dtype)?);
    runner.launch(&Launch::over(count.div_ceil(pack(&all)), "adamw", kernel, args)?)
}
