//! Values times a number, in another type.

use candle_core::{DType, Result};

use super::{Arg, Launch, Runner, Values, pack, packed, suffix};

/// `xs * factor` as `dtype`, rounded once.
pub fn scale<R: Runner>(runner: &R, xs: Values, dtype: DType, factor: f32) -> Result<R::Buffer> {
    let mut ys = runner.reserve(dtype, xs.count)?;
    if xs.count == 0 {
        return Ok(ys);
    }
    let all = [xs, runner.values(&mut ys)];
    let mut args: Vec<Arg> = all.iter().map(|values| Arg::Pointer(values.address)).collect();
    args.extend([Arg::Long(xs.count as i64), Arg::Float(factor)]);
    args.push(Arg::Int(packed(pack(&all), &all).into()));
    let kernel = format!("scale_{}_{}", suffix(xs.dtype)?, suffix(dtype)?);
    runner.launch(&Launch::over(xs.count.div_ceil(pack(&all)), "cast", kernel, args)?)?;
    Ok(ys)
}
