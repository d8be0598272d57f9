//! GELU, SiLU and SwiGLU.

use candle_core::Result;

use super::{Arg, Launch, Runner, Values, check, pack, packed, suffix};

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// GELU by the normal distribution.
    GeluErf,
    /// GELU by the hyperbolic tangent.
    GeluTanh,
    /// `x σ(x)`.
    Silu,
}

impl Activation {
    fn name(self) -> &'static str {
        match self {
            Self::GeluErf => "gelu_erf",
            Self::GeluTanh => "gelu_tanh",
            Self::Silu => "silu",
        }
    }
}

/// The function of every value.
pub fn activation<R: Runner>(runner: &R, function: Activation, xs: Values) -> Result<R::Buffer> {
    let [ys] = run(runner, function.name(), &[xs])?;
    Ok(ys)
}

/// The gradient of [`activation`]'s input.
pub fn activation_back<R: Runner>(
    runner: &R,
    function: Activation,
    xs: Values,
    grad: Values,
) -> Result<R::Buffer> {
    let [dxs] = run(runner, &format!("{}_back", function.name()), &[xs, grad])?;
    Ok(dxs)
}

/// `silu(gate) * up`.
pub fn swiglu<R: Runner>(runner: &R, gate: Values, up: Values) -> Result<R::Buffer> {
    let [ys] = run(runner, "swiglu", &[gate, up])?;
    Ok(ys)
}

/// The gradients of [`swiglu`]'s gate and up.
pub fn swiglu_back<R: Runner>(runner: &R, gate: Values, up: Values, grad: Values) -> Result<[R::Buffer; 2]> {
    run(runner, "swiglu_back", &[gate, up, grad])
}

/// Inputs of one size, results of the same.
fn run<R: Runner, const N: usize>(runner: &R, name: &str, inputs: &[Values]) -> Result<[R::Buffer; N]> {
    let (dtype, count) = (inputs[0].dtype, inputs[0].count);
    for other in &inputs[1..] {
        check(name, *other, dtype, count)?;
    }
    let mut all = inputs.to_vec();
    let mut results = Vec::with_capacity(N);
    for _ in 0..N {
        let mut result = runner.reserve(dtype, count)?;
        all.push(runner.values(&mut result));
        results.push(result);
    }
    if count > 0 {
        let mut args: Vec<Arg> = all.iter().map(|values| Arg::Pointer(values.address)).collect();
        // A last part that fills no pack is left to one thread.
        args.extend([Arg::Long(count as i64), Arg::Int(packed(pack(&all), &all).into())]);
        let kernel = format!("{name}_{}", suffix(dtype)?);
        runner.launch(&Launch::over(count.div_ceil(pack(&all)), "activation", kernel, args)?)?;
    }
    match results.try_into() {
        Ok(results) => Ok(results),
        Err(_) => candle_core::bail!("{name}: not {N} results"),
    }
}
