//! RMS norm and layer norm.

use candle_core::{DType, Result};

use super::parts::{chunks, sum_parts};
use super::rows::Rows;
use super::{Arg, Launch, Runner, TILE_WARPS, Values, WARP, check, int, pack, packed, pointer, suffix};

/// Which norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// Divides by the root of the mean square.
    Rms,
    /// Centres, then divides by the standard deviation.
    Layer,
}

impl Norm {
    fn name(self) -> &'static str {
        match self {
            Self::Rms => "rms_norm",
            Self::Layer => "layer_norm",
        }
    }
}

/// What [`norm_back`] found, as far as it was wanted.
#[derive(Debug)]
pub struct NormGrads<B> {
    /// That of the rows.
    pub input: Option<B>,
    /// That of the weight.
    pub weight: Option<B>,
    /// That of the bias.
    pub bias: Option<B>,
}

/// Rows of `xs`, as wide as `weight`, normed.
pub fn norm<R: Runner>(
    runner: &R,
    norm: Norm,
    xs: Values,
    weight: Values,
    bias: Option<Values>,
    eps: f32,
) -> Result<R::Buffer> {
    let d = weight.count;
    check("a norm's weight", weight, xs.dtype, d)?;
    let mut all = vec![xs, weight];
    if let Some(bias) = bias {
        check("a norm's bias", bias, xs.dtype, d)?;
        all.push(bias);
    }
    let mut ys = runner.reserve(xs.dtype, xs.count)?;
    let out = runner.values(&mut ys);
    all.push(out);
    let rows = Rows::of(&all, d)?;
    if rows.rows == 0 {
        return Ok(ys);
    }
    let mut args = vec![
        Arg::Pointer(xs.address),
        Arg::Pointer(weight.address),
        pointer(bias),
        Arg::Pointer(out.address),
        rows.count(),
        int("columns", d)?,
        Arg::Float(eps),
    ];
    args.extend(rows.shape()?);
    let kernel = format!("{}_{}", norm.name(), suffix(xs.dtype)?);
    runner.launch(&rows.launch("norm", kernel, args))?;
    Ok(ys)
}

/// `xs + added`, and its rows, as wide as `weight`, RMS-normed.
pub fn sum_norm<R: Runner>(
    runner: &R,
    [xs, added]: [Values; 2],
    weight: Values,
    eps: f32,
) -> Result<[R::Buffer; 2]> {
    let d = weight.count;
    check("a norm's weight", weight, xs.dtype, d)?;
    check("what is added before a norm", added, xs.dtype, xs.count)?;
    let (mut sum, mut ys) = (runner.reserve(xs.dtype, xs.count)?, runner.reserve(xs.dtype, xs.count)?);
    let all = [xs, added, weight, runner.values(&mut sum), runner.values(&mut ys)];
    let rows = Rows::of(&all, d)?;
    if rows.rows > 0 {
        let mut args: Vec<Arg> = all.iter().map(|values| Arg::Pointer(values.address)).collect();
        args.extend([rows.count(), int("columns", d)?, Arg::Float(eps)]);
        args.extend(rows.shape()?);
        runner.launch(&rows.launch("norm", format!("sum_rms_norm_{}", suffix(xs.dtype)?), args))?;
    }
    Ok([sum, ys])
}

/// The gradients of [`norm`]'s input, weight and bias, from that of its result.
pub fn norm_back<R: Runner>(
    runner: &R,
    norm: Norm,
    xs: Values,
    weight: Values,
    grad: Values,
    wanted: [bool; 3],
    eps: f32,
) -> Result<NormGrads<R::Buffer>> {
    let (d, dtype) = (weight.count, xs.dtype);
    check("a norm's weight", weight, dtype, d)?;
    check("a norm's gradient", grad, dtype, xs.count)?;
    let [want_input, want_weight, want_bias] = wanted;
    let mut input = if want_input { Some(runner.reserve(dtype, xs.count)?) } else { None };
    let out = input.as_mut().map(|input| runner.values(input));
    let all: Vec<Values> = [xs, weight, grad].into_iter().chain(out).collect();
    let rows = Rows::of(&all, d)?;
    let mut stats = runner.reserve(DType::F32, 2 * rows.rows)?;
    let stats = runner.values(&mut stats);
    let columns = int("columns", d)?;
    if rows.rows > 0 {
        let mut args: Vec<Arg> =
            [xs, weight, grad].into_iter().map(|values| Arg::Pointer(values.address)).collect();
        args.extend([pointer(out), Arg::Pointer(stats.address), rows.count(), columns, Arg::Float(eps)]);
        args.extend(rows.shape()?);
        let kernel = format!("{}_back_{}", norm.name(), suffix(dtype)?);
        runner.launch(&rows.launch("norm", kernel, args))?;
    }
    if !(want_weight || want_bias) {
        return Ok(NormGrads { input, weight: None, bias: None });
    }
    let (chunk, parts) = chunks(rows.rows);
    let mut sums = runner.reserve(DType::F32, 2 * parts * d)?;
    let of_weight = runner.values(&mut sums);
    let packed = packed(d, &[xs, grad]);
    let width = WARP * if packed { pack(&[xs]) } else { 1 };
    if parts > 0 {
        let args = vec![
            Arg::Pointer(xs.address),
            Arg::Pointer(grad.address),
            Arg::Pointer(stats.address),
            Arg::Pointer(of_weight.address),
            rows.count(),
            columns,
            int("rows", chunk)?,
            Arg::Int(want_bias.into()),
            Arg::Int(packed.into()),
        ];
        let kernel = format!("norm_parts_{}", suffix(dtype)?);
        let grid = (d.div_ceil(width) as u32, parts as u32);
        runner.launch(&Launch::new("norm", kernel, grid, TILE_WARPS * WARP, args))?;
    }
    let sum = |from: u64| sum_parts(runner, from, parts, d, dtype);
    let weight = if want_weight { Some(sum(of_weight.address)?) } else { None };
    let of_bias = of_weight.address + (parts * d * size_of::<f32>()) as u64;
    let bias = if want_bias { Some(sum(of_bias)?) } else { None };
    Ok(NormGrads { input, weight, bias })
}
