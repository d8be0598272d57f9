//! Features averaged under masks.

use candle_core::{DType, Result, bail};

use super::{Arg, Launch, Runner, TILE_WARPS, Values, WARP, check, int, pack, packed, suffix};

/// Most masks of one launch: blocks of a grid's second dimension.
const MASKS: usize = 65_535;

/// Features of frames, `patches` of width `d` each, summed under masks' shares `(k, patches)`, each in its frame.
pub fn mask_pool<R: Runner>(
    runner: &R,
    feats: Values,
    frames: Values,
    shares: Values,
    patches: usize,
    d: usize,
) -> Result<R::Buffer> {
    let masks = frames.count;
    check("masks' frames", frames, DType::U32, masks)?;
    check("masks' shares", shares, DType::F32, masks * patches)?;
    if masks > MASKS {
        bail!("{masks} masks are more than the {MASKS} of one launch");
    }
    let mut pooled = runner.reserve(feats.dtype, masks * d)?;
    if masks * d == 0 {
        return Ok(pooled);
    }
    let out = runner.values(&mut pooled);
    let packed = packed(d, &[feats, out]);
    let width = WARP * if packed { pack(&[feats]) } else { 1 };
    let mut args: Vec<Arg> =
        [feats, frames, shares, out].iter().map(|values| Arg::Pointer(values.address)).collect();
    args.extend([int("patches", patches)?, int("columns", d)?, Arg::Int(packed.into())]);
    let kernel = format!("mask_pool_{}", suffix(feats.dtype)?);
    let grid = (d.div_ceil(width) as u32, masks as u32);
    runner.launch(&Launch::new("mask_pool", kernel, grid, TILE_WARPS * WARP, args))?;
    Ok(pooled)
}

/// The gradient of [`mask_pool`]'s features. Masks of frame `f` are `order[starts[f]..starts[f + 1]]`.
pub fn mask_pool_back<R: Runner>(
    runner: &R,
    grad: Values,
    (starts, order): (Values, Values),
    shares: Values,
    patches: usize,
    d: usize,
) -> Result<R::Buffer> {
    let masks = order.count;
    check("masks' order", order, DType::U32, masks)?;
    check("masks' shares", shares, DType::F32, masks * patches)?;
    check("a gradient of pooled features", grad, grad.dtype, masks * d)?;
    check("frames' masks", starts, DType::U32, starts.count)?;
    let rows = starts.count.saturating_sub(1) * patches;
    let mut dfeats = runner.reserve(grad.dtype, rows * d)?;
    if rows * d == 0 {
        return Ok(dfeats);
    }
    let out = runner.values(&mut dfeats);
    let packed = packed(d, &[grad, out]);
    let threads = rows * d / if packed { pack(&[grad]) } else { 1 };
    let mut args: Vec<Arg> =
        [grad, starts, order, shares, out].iter().map(|values| Arg::Pointer(values.address)).collect();
    args.extend([Arg::Long(rows as i64), int("patches", patches)?, int("columns", d)?]);
    args.push(Arg::Int(packed.into()));
    let kernel = format!("mask_pool_back_{}", suffix(grad.dtype)?);
    runner.launch(&Launch::over(threads, "mask_pool", kernel, args)?)?;
    Ok(dfeats)
}
