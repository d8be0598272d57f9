//! Values of which some are dropped.

use candle_core::{DType, Result, bail};
use half::{bf16, f16};
use strefer_core::Rng;

use super::{Arg, Launch, Runner, Values, pack, packed, suffix};

/// `xs`, of which those are 0 for which the draws of `rng`, one each, are less than `probability`; the others are scaled up by as
/// much.
pub fn dropout<R: Runner>(runner: &R, xs: Values, rng: &Rng, probability: f64) -> Result<R::Buffer> {
    let mut ys = runner.reserve(xs.dtype, xs.count)?;
    if xs.count == 0 {
        return Ok(ys);
    }
    let factor = (1.0 / (1.0 - probability)) as f32;
    let factor = match xs.dtype {
        DType::F32 => factor,
        DType::BF16 => bf16::from_f32(factor).to_f32(),
        DType::F16 => f16::from_f32(factor).to_f32(),
        other => bail!("no kernel drops {other:?}"),
    };
    // A draw is a whole number of so many parts of one.
    let least = (probability * (1u64 << Rng::UNIFORM_BITS) as f64).ceil() as i64;
    let all = [xs, runner.values(&mut ys)];
    let mut args: Vec<Arg> = all.iter().map(|values| Arg::Pointer(values.address)).collect();
    args.extend([Arg::Long(xs.count as i64), Arg::Long(rng.key() as i64), Arg::Long(least)]);
    args.extend([Arg::Float(factor), Arg::Int(packed(pack(&all), &all).into())]);
    let kernel = format!("dropout_{}", suffix(xs.dtype)?);
    runner.launch(&Launch::over(xs.count.div_ceil(pack(&all)), "dropout", kernel, args)?)?;
    Ok(ys)
}
