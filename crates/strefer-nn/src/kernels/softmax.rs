//! Softmax over the last dimension.

use candle_core::Result;

use super::rows::Rows;
use super::{Arg, Runner, Values, check, int, suffix};

/// Rows of `d` scores become probabilities.
pub fn softmax<R: Runner>(runner: &R, xs: Values, d: usize) -> Result<R::Buffer> {
    run(runner, "softmax", &[xs], d)
}

/// The gradient of [`softmax`]'s input, from its result and that result's gradient.
pub fn softmax_back<R: Runner>(runner: &R, ys: Values, grad: Values, d: usize) -> Result<R::Buffer> {
    check("softmax's gradient", grad, ys.dtype, ys.count)?;
    run(runner, "softmax_back", &[ys, grad], d)
}

fn run<R: Runner>(runner: &R, name: &str, inputs: &[Values], d: usize) -> Result<R::Buffer> {
    let (dtype, count) = (inputs[0].dtype, inputs[0].count);
    let mut result = runner.reserve(dtype, count)?;
    if count == 0 {
        return Ok(result);
    }
    let mut all = inputs.to_vec();
    all.push(runner.values(&mut result));
    let rows = Rows::of(&all, d)?;
    let mut args: Vec<Arg> = all.iter().map(|values| Arg::Pointer(values.address)).collect();
    args.extend([rows.count(), int("columns", d)?]);
    args.extend(rows.shape()?);
    let kernel = format!("{name}_{}", suffix(dtype)?);
    runner.launch(&rows.launch("softmax", kernel, args))?;
    Ok(result)
}
