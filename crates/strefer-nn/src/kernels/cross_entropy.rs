//! Cross-entropy of rows of scores.

use candle_core::{DType, Result, bail};

use super::rows::Rows;
use super::{Arg, Runner, Values, check, int, suffix};

/// The loss of each row of scores, f32. With `gradient` the scores become the gradients of the losses' sum. Labels are u32
/// and below the rows' width.
pub fn cross_entropy<R: Runner>(
    runner: &R,
    scores: Values,
    labels: Values,
    gradient: bool,
) -> Result<R::Buffer> {
    let count = labels.count;
    check("labels", labels, DType::U32, count)?;
    let mut losses = runner.reserve(DType::F32, count)?;
    if count == 0 {
        return Ok(losses);
    }
    if !scores.count.is_multiple_of(count) {
        bail!("{} scores are no rows for {count} labels", scores.count);
    }
    let v = scores.count / count;
    let rows = Rows::of(&[scores], v)?;
    let mut args = vec![
        Arg::Pointer(scores.address),
        Arg::Pointer(labels.address),
        Arg::Pointer(runner.values(&mut losses).address),
        rows.count(),
        int("scores of a row", v)?,
        Arg::Int(gradient.into()),
    ];
    args.extend(rows.shape()?);
    let kernel = format!("cross_entropy_{}", suffix(scores.dtype)?);
    runner.launch(&rows.launch("cross_entropy", kernel, args))?;
    Ok(losses)
}
