//! Products of a few rows with a large matrix, as a token of each answer asks for.

use candle_core::{DType, Result, bail};

use super::{Arg, Launch, Runner, Values, WARP, blocks, check, int, pointer, suffix};

/// Most rows, as in `kernels/few_rows.cu`.
const MOST: usize = 16;
/// Up to so many rows, a block has 16 columns of the result, and 32 for more.
const FEW: usize = 8;
/// Warps of a block.
const WARPS: usize = 8;
/// Values of 16 bytes.
const PACK: usize = 8;

/// Whether [`few_rows`] takes so many rows of width `d`.
pub fn takes_rows(dtype: DType, rows: usize, d: usize) -> bool {
    matches!(dtype, DType::BF16 | DType::F16) && (1..=MOST).contains(&rows) && d > 0 && d.is_multiple_of(PACK)
}

/// `xs · weightᵀ + bias`, rounded once.
///
/// # Shapes
/// - `xs`: `(rows, d)`, `weight`: `(o, d)`, `bias`: `(o)` → `(rows, o)`
///
/// # Errors
/// Rows that it does not take ([`takes_rows`]), values that do not lie on 16 bytes.
pub fn few_rows<R: Runner>(
    runner: &R,
    xs: Values,
    weight: Values,
    bias: Option<Values>,
    d: usize,
) -> Result<R::Buffer> {
    let (rows, o) = (xs.count / d.max(1), weight.count / d.max(1));
    if !takes_rows(xs.dtype, rows, d) {
        bail!("no kernel takes {rows} rows of {d} in {:?}", xs.dtype);
    }
    check("a product's rows", xs, xs.dtype, rows * d)?;
    check("a product's weight", weight, xs.dtype, o * d)?;
    if let Some(bias) = bias {
        check("a product's bias", bias, xs.dtype, o)?;
    }
    if [xs, weight].iter().any(|values| !values.address.is_multiple_of(16)) {
        bail!("a product's factors have to lie on 16 bytes");
    }
    let mut ys = runner.reserve(xs.dtype, rows * o)?;
    let out = runner.values(&mut ys);
    let (width, columns) = if rows <= FEW { (FEW, 16) } else { (MOST, 32) };
    let args = vec![
        Arg::Pointer(xs.address),
        Arg::Pointer(weight.address),
        pointer(bias),
        Arg::Pointer(out.address),
        int("rows", rows)?,
        int("columns", d)?,
        int("columns of a result", o)?,
    ];
    if o > 0 {
        let kernel = format!("few_rows_{width}_{}", suffix(xs.dtype)?);
        let grid = (blocks(o.div_ceil(columns))?, 1);
        runner.launch(&Launch::new("few_rows", kernel, grid, WARPS * WARP, args))?;
    }
    Ok(ys)
}
