//! Sums over many rows, by blocks that have a chunk of them each, and then over the blocks: the same sums on every card.

use candle_core::{DType, Result};

use super::{Arg, Launch, Runner, int, suffix};

/// Most chunks.
const PARTS: usize = 256;
/// A chunk has at least so many rows.
const PART_ROWS: usize = 32;

/// Rows of a chunk, and how many chunks that makes.
pub(super) fn chunks(rows: usize) -> (usize, usize) {
    let chunk = rows.div_ceil(PARTS).max(PART_ROWS);
    (chunk, rows.div_ceil(chunk))
}

/// Adds up `count` parts of `d` columns, f32, that begin at `from`.
pub(super) fn sum_parts<R: Runner>(
    runner: &R,
    from: u64,
    count: usize,
    d: usize,
    dtype: DType,
) -> Result<R::Buffer> {
    let mut sum = runner.reserve(dtype, d)?;
    let to = runner.values(&mut sum);
    if d > 0 {
        let args =
            vec![Arg::Pointer(from), Arg::Pointer(to.address), int("parts", count)?, int("columns", d)?];
        let kernel = format!("sum_parts_{}", suffix(dtype)?);
        runner.launch(&Launch::over(d, "parts", kernel, args)?)?;
    }
    Ok(sum)
}
