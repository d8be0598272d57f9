//! Deformable attention.

use candle_core::{DType, Result, bail};

use super::{Arg, Launch, Runner, Values, check, int, pack, packed, suffix};

/// Sizes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deformable {
    /// Rows of the batch.
    pub batch: usize,
    /// Queries of a row.
    pub queries: usize,
    /// Cells of all maps.
    pub cells: usize,
    /// Heads of a query.
    pub heads: usize,
    /// Width of a head.
    pub hd: usize,
    /// Maps.
    pub levels: usize,
    /// Places of a head in a map.
    pub points: usize,
}

/// What each query reads at its places. `sizes` has height and width of each map, u32; places and weights are f32.
pub fn deformable<R: Runner>(
    runner: &R,
    values: Values,
    sizes: Values,
    places: Values,
    weights: Values,
    shape: Deformable,
) -> Result<R::Buffer> {
    let Deformable { batch, queries, cells, heads, hd, levels, points } = shape;
    let read = batch * queries * heads * levels * points;
    check("places", places, DType::F32, 2 * read)?;
    check("weights of places", weights, DType::F32, read)?;
    check("sizes of maps", sizes, DType::U32, 2 * levels)?;
    if values.count != batch * cells * heads * hd {
        bail!("{shape:?} does not fit {} values", values.count);
    }
    let rows = batch * queries;
    let mut ys = runner.reserve(values.dtype, rows * heads * hd)?;
    if rows * heads * hd == 0 {
        return Ok(ys);
    }
    let out = runner.values(&mut ys);
    let packed = packed(hd, &[values, out]);
    let threads = rows * heads * hd / if packed { pack(&[values]) } else { 1 };
    let mut args: Vec<Arg> =
        [values, sizes, places, weights, out].iter().map(|values| Arg::Pointer(values.address)).collect();
    args.push(Arg::Long(rows as i64));
    for (what, number) in [
        ("queries", queries),
        ("cells", cells),
        ("heads", heads),
        ("channels", hd),
        ("maps", levels),
        ("places", points),
    ] {
        args.push(int(what, number)?);
    }
    args.push(Arg::Int(packed.into()));
    let kernel = format!("deformable_{}", suffix(values.dtype)?);
    runner.launch(&Launch::over(threads, "deformable", kernel, args)?)?;
    Ok(ys)
}
