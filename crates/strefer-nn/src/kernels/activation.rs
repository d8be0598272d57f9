//! GELU, SiLU and SwiGLU.

use candle_core::{DType, Result, bail};

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
    run(runner, function.name(), &[xs])
}

/// The gradient of [`activation`]'s input.
pub fn activation_back<R: Runner>(
    runner: &R,
    function: Activation,
    xs: Values,
    grad: Values,
) -> Result<R::Buffer> {
    run(runner, &format!("{}_back", function.name()), &[xs, grad])
}

/// Where the gates of [`swiglu`] and what they let through lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gated {
    /// Apart, each contiguous.
    Apart {
        /// What passes the activation.
        gate: Values,
        /// What it is multiplied with.
        up: Values,
    },
    /// As the two halves of rows, each half so wide.
    Joined {
        /// All rows.
        both: Values,
        /// Width of a half.
        width: usize,
    },
}

/// Gradients where [`Gated`] has the values.
#[derive(Debug)]
pub enum GatedGrads<B> {
    /// Those of gate and up.
    Apart([B; 2]),
    /// That of both.
    Joined(B),
}

/// Gates and what they let through, as kernels take them.
struct Halves {
    gate: u64,
    up: u64,
    /// How many of each.
    count: usize,
    width: usize,
    step: usize,
    dtype: DType,
}

impl Gated {
    fn halves(&self) -> Result<Halves> {
        match *self {
            Self::Apart { gate, up } => {
                check("swiglu", up, gate.dtype, gate.count)?;
                let (count, dtype) = (gate.count, gate.dtype);
                Ok(Halves { gate: gate.address, up: up.address, count, width: count, step: count, dtype })
            }
            Self::Joined { both, width } => {
                if width == 0 || !both.count.is_multiple_of(2 * width) {
                    bail!("swiglu: {} values are no rows of two halves of {width}", both.count);
                }
                let up = both.address + (width * both.dtype.size_in_bytes()) as u64;
                let (count, dtype) = (both.count / 2, both.dtype);
                Ok(Halves { gate: both.address, up, count, width, step: 2 * width, dtype })
            }
        }
    }
}

impl Halves {
    /// Puts `kernel` over all values, which lie at these addresses.
    fn launch<R: Runner>(&self, runner: &R, kernel: &str, addresses: &[u64]) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let all: Vec<Values> = addresses
            .iter()
            .map(|&address| Values { address, dtype: self.dtype, count: self.count })
            .collect();
        // A last part of values that lie apart and fill no pack is left to one thread.
        let step = if self.width == self.count { pack(&all) } else { self.width };
        let mut args: Vec<Arg> = addresses.iter().map(|&address| Arg::Pointer(address)).collect();
        args.extend([self.count, self.width, self.step].map(|number| Arg::Long(number as i64)));
        args.push(Arg::Int(packed(step, &all).into()));
        let kernel = format!("{kernel}_{}", suffix(self.dtype)?);
        runner.launch(&Launch::over(self.count.div_ceil(pack(&all)), "activation", kernel, args)?)
    }
}

/// `silu(gate) * up`, contiguous.
pub fn swiglu<R: Runner>(runner: &R, gated: Gated) -> Result<R::Buffer> {
    let halves = gated.halves()?;
    let mut ys = runner.reserve(halves.dtype, halves.count)?;
    let out = runner.values(&mut ys);
    halves.launch(runner, "swiglu", &[halves.gate, halves.up, out.address])?;
    Ok(ys)
}

/// The gradients of [`swiglu`]'s gate and up, where these lie.
pub fn swiglu_back<R: Runner>(runner: &R, gated: Gated, grad: Values) -> Result<GatedGrads<R::Buffer>> {
    let halves = gated.halves()?;
    check("swiglu's gradient", grad, halves.dtype, halves.count)?;
    let launch = |to: [u64; 2]| {
        let addresses = [halves.gate, halves.up, grad.address, to[0], to[1]];
        halves.launch(runner, "swiglu_back", &addresses)
    };
    let reserve = |count: usize| -> Result<(R::Buffer, u64)> {
        let mut buffer = runner.reserve(halves.dtype, count)?;
        let address = runner.values(&mut buffer).address;
        Ok((buffer, address))
    };
    match gated {
        Gated::Apart { .. } => {
            let ((gate, to_gate), (up, to_up)) = (reserve(halves.count)?, reserve(halves.count)?);
            launch([to_gate, to_up])?;
            Ok(GatedGrads::Apart([gate, up]))
        }
        Gated::Joined { .. } => {
            let (both, to) = reserve(2 * halves.count)?;
            launch([to, to + (halves.up - halves.gate)])?;
            Ok(GatedGrads::Joined(both))
        }
    }
}

/// Inputs of one size, a result of the same.
fn run<R: Runner>(runner: &R, name: &str, inputs: &[Values]) -> Result<R::Buffer> {
    let (dtype, count) = (inputs[0].dtype, inputs[0].count);
    for other in &inputs[1..] {
        check(name, *other, dtype, count)?;
    }
    let mut result = runner.reserve(dtype, count)?;
    let all: Vec<Values> = inputs.iter().copied().chain([runner.values(&mut result)]).collect();
    if count > 0 {
        let mut args: Vec<Arg> = all.iter().map(|values| Arg::Pointer(values.address)).collect();
        // A last part that fills no pack is left to one thread.
        args.extend([Arg::Long(count as i64), Arg::Int(packed(pack(&all), &all).into())]);
        let kernel = format!("{name}_{}", suffix(dtype)?);
        runner.launch(&Launch::over(count.div_ceil(pack(&all)), "activation", kernel, args)?)?;
    }
    Ok(result)
}
