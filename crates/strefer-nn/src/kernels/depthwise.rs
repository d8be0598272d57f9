//! Depthwise convolution with the channels last.

use candle_core::{DType, Result, bail};

use super::parts::{chunks, sum_parts};
use super::{Arg, Launch, Runner, TILE_WARPS, Values, WARP, check, int, pack, packed, suffix};

/// Most blocks down a grid.
const DOWN: usize = 65_535;

/// Maps `(b, h, w, c)` and filters `(k*k, c)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maps {
    /// How many maps there are.
    pub batch: usize,
    /// Height of a map.
    pub h: usize,
    /// Width of a map.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Side of a filter, odd.
    pub k: usize,
}

impl Maps {
    fn pixels(&self) -> usize {
        self.batch * self.h * self.w
    }

    fn check(&self, maps: Values) -> Result<()> {
        if self.k.is_multiple_of(2) {
            bail!("depthwise filters of side {} have no middle", self.k);
        }
        check("maps", maps, maps.dtype, self.pixels() * self.c)
    }

    fn args(&self) -> Result<[Arg; 5]> {
        Ok([
            Arg::Long(self.pixels() as i64),
            int("lines", self.h)?,
            int("columns", self.w)?,
            int("channels", self.c)?,
            int("taps", self.k)?,
        ])
    }
}

/// Every channel under its filter; `turned` by the filter turned round, which makes the gradient of the map of that of the result.
pub fn depthwise<R: Runner>(
    runner: &R,
    xs: Values,
    filters: Values,
    turned: bool,
    maps: Maps,
) -> Result<R::Buffer> {
    maps.check(xs)?;
    check("filters", filters, xs.dtype, maps.k * maps.k * maps.c)?;
    let mut ys = runner.reserve(xs.dtype, xs.count)?;
    if xs.count == 0 {
        return Ok(ys);
    }
    let all = [xs, filters, runner.values(&mut ys)];
    let packed = packed(maps.c, &all);
    let mut args: Vec<Arg> = all.iter().map(|values| Arg::Pointer(values.address)).collect();
    args.extend(maps.args()?);
    args.extend([Arg::Int(turned.into()), Arg::Int(packed.into())]);
    let kernel = format!("depthwise_{}", suffix(xs.dtype)?);
    let threads = xs.count / if packed { pack(&all) } else { 1 };
    runner.launch(&Launch::over(threads, "depthwise", kernel, args)?)?;
    Ok(ys)
}

/// The gradient of [`depthwise`]'s filters, `(k*k, c)`.
pub fn depthwise_back<R: Runner>(runner: &R, xs: Values, grad: Values, maps: Maps) -> Result<R::Buffer> {
    maps.check(xs)?;
    check("a gradient of maps", grad, xs.dtype, xs.count)?;
    let (taps, pixels) = (maps.k * maps.k, maps.pixels());
    let (mut chunk, mut parts) = chunks(pixels);
    if parts * taps > DOWN {
        chunk = pixels.div_ceil((DOWN / taps).max(1));
        parts = pixels.div_ceil(chunk);
    }
    let columns = taps * maps.c;
    let mut sums = runner.reserve(DType::F32, parts * columns)?;
    let of_parts = runner.values(&mut sums);
    if xs.count > 0 {
        let packed = packed(maps.c, &[xs, grad]);
        let width = WARP * if packed { pack(&[xs]) } else { 1 };
        let mut args: Vec<Arg> =
            [xs, grad, of_parts].iter().map(|values| Arg::Pointer(values.address)).collect();
        args.extend(maps.args()?);
        args.extend([int("pixels", chunk)?, Arg::Int(packed.into())]);
        let kernel = format!("depthwise_parts_{}", suffix(xs.dtype)?);
        let grid = (maps.c.div_ceil(width) as u32, (parts * taps) as u32);
        runner.launch(&Launch::new("depthwise", kernel, grid, TILE_WARPS * WARP, args))?;
    }
    sum_parts(runner, of_parts.address, parts, columns, xs.dtype)
}
