//! Rotation of heads by their positions' angles.

use candle_core::{DType, Result, bail};

use super::{Arg, Launch, Runner, Values, int, pack, packed, suffix};

/// How heads lie and which way they turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Rows of the batch.
    pub batch: usize,
    /// Heads of a position.
    pub heads: usize,
    /// Positions of a row of the batch.
    pub positions: usize,
    /// Width of a head.
    pub hd: usize,
    /// Whether heads come before positions, `(b, nh, s, hd)`; else `(b, s, nh, hd)`.
    pub heads_first: bool,
    /// Entries of the tables for a position, `hd / 2` or `hd`.
    pub entries: usize,
    /// Whether each row of the batch has tables of its own.
    pub own_tables: bool,
    /// By the opposite angles, as the backward does.
    pub back: bool,
}

/// Heads turned by their positions' angles. Tables are f32, or of the values' type.
pub fn rotary<R: Runner>(runner: &R, xs: Values, cos: Values, sin: Values, turn: Turn) -> Result<R::Buffer> {
    let Turn { batch, heads, positions, hd, entries, .. } = turn;
    let half = hd / 2;
    let tables = if turn.own_tables { batch } else { 1 } * positions * entries;
    if hd % 2 != 0 || (entries != half && entries != hd) || xs.count != batch * heads * positions * hd {
        bail!("{turn:?} does not fit {} values", xs.count);
    }
    let same = cos.dtype == sin.dtype && (cos.dtype == xs.dtype || cos.dtype == DType::F32);
    if !same || cos.count != tables || sin.count != tables {
        bail!(
            "{turn:?} does not fit tables of {:?} {} and {:?} {}",
            cos.dtype,
            cos.count,
            sin.dtype,
            sin.count
        );
    }
    let mut ys = runner.reserve(xs.dtype, xs.count)?;
    if xs.count == 0 {
        return Ok(ys);
    }
    let out = runner.values(&mut ys);
    let all = [xs, cos, sin, out];
    let packed = packed(half, &all);
    let rows = batch * heads * positions;
    let threads = rows * half / if packed { pack(&all) } else { 1 };
    let mut args: Vec<Arg> = all.iter().map(|values| Arg::Pointer(values.address)).collect();
    args.extend([
        Arg::Long(rows as i64),
        int("heads", heads)?,
        int("positions", positions)?,
        int("pairs", half)?,
        Arg::Int(turn.heads_first.into()),
        int("entries", entries)?,
        Arg::Long(if turn.own_tables { (positions * entries) as i64 } else { 0 }),
        Arg::Float(if turn.back { -1.0 } else { 1.0 }),
        Arg::Int(packed.into()),
    ]);
    let kernel = format!("rotary_{}_{}", suffix(xs.dtype)?, suffix(cos.dtype)?);
    runner.launch(&Launch::over(threads, "rotary", kernel, args)?)?;
    Ok(ys)
}
