//! Rotation of heads by their positions' angles.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::data::{slice, stored, tensor_like, with_slice};
use super::simd;
use crate::ops;

/// Tables of half a head's width, each `(b|1, s, hd/2)` in one run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Angles<'a> {
    pub(super) cos: &'a [f32],
    pub(super) sin: &'a [f32],
    pub(super) half: usize,
    /// Values from one batch row to the next; 0 when all rows share the table.
    pub(super) batch: usize,
}

impl<'a> Angles<'a> {
    /// Cosines and sines of one position.
    #[inline(always)]
    pub(super) fn at(&self, b: usize, position: usize) -> (&'a [f32], &'a [f32]) {
        let start = b * self.batch + position * self.half;
        (&self.cos[start..start + self.half], &self.sin[start..start + self.half])
    }
}

/// Rotates one head by its angles; by the opposite ones when `back`.
#[inline(always)]
pub(super) fn rotate(x: &[f32], y: &mut [f32], (cos, sin): (&[f32], &[f32]), back: bool) {
    let half = cos.len();
    let sign = if back { -1.0 } else { 1.0 };
    let (x1, x2) = x.split_at(half);
    let (y1, y2) = y.split_at_mut(half);
    let inputs = x1.iter().zip(x2).zip(cos.iter().zip(sin));
    for ((y1, y2), ((x1, x2), (c, s))) in y1.iter_mut().zip(y2).zip(inputs) {
        let s = sign * s;
        *y1 = x1 * c - x2 * s;
        *y2 = x2 * c + x1 * s;
    }
}

/// Tables cut to half a head's width, as `(cos, sin)`, both contiguous.
pub(super) fn half_tables(
    cos: &Tensor,
    sin: &Tensor,
    b: usize,
    s: usize,
    hd: usize,
) -> Result<(Tensor, Tensor)> {
    let (rows, positions, entries) = cos.dims3()?;
    if cos.dims() != sin.dims() || (rows != 1 && rows != b) || positions != s {
        bail!("rotation tables {:?} and {:?} do not fit {b} rows of {s}", cos.shape(), sin.shape());
    }
    if !hd.is_multiple_of(2) || (entries != hd && entries != hd / 2) {
        bail!("rotation tables of width {entries} do not fit heads of {hd}");
    }
    let half = |table: &Tensor| table.narrow(2, 0, hd / 2)?.contiguous();
    Ok((half(cos)?, half(sin)?))
}

struct Rotary {
    back: bool,
    /// How many heads lie side by side, `(b, s, nh*hd)`, if they do; else `(b, nh, s, hd)`.
    side_by_side: Option<usize>,
}

/// How many heads a position has, how many positions there are, and whether heads come first.
#[derive(Clone, Copy)]
struct Order {
    heads: usize,
    s: usize,
    heads_first: bool,
}

impl Rotary {
    fn order(&self, dims: &[usize]) -> Result<Order> {
        match (self.side_by_side, dims) {
            (None, &[_b, heads, s, _hd]) => Ok(Order { heads, s, heads_first: true }),
            (Some(heads), &[_b, s, _width]) => Ok(Order { heads, s, heads_first: false }),
            _ => bail!("rotation of {dims:?}"),
        }
    }
}

/// Tables as this operation reads them.
fn angles<'a>(cos: &'a [f32], sin: &'a [f32], dims: &[usize]) -> Angles<'a> {
    let (rows, s, half) = (dims[0], dims[1], dims[2]);
    Angles { cos, sin, half, batch: if rows == 1 { 0 } else { s * half } }
}

fn turn(xs: &[f32], angles: Angles<'_>, order: Order, back: bool) -> Vec<f32> {
    let (hd, Order { heads, s, heads_first }) = (2 * angles.half, order);
    let mut ys = vec![0.0; xs.len()];
    simd::fill_rows(&mut ys, hd, |row, ys| {
        let xs = &xs[row * hd..][..ys.len()];
        simd::run(
            #[inline(always)]
            || {
                for (at, (y, x)) in ys.chunks_exact_mut(hd).zip(xs.chunks_exact(hd)).enumerate() {
                    let row = row + at;
                    let position = if heads_first { row } else { row / heads } % s;
                    rotate(x, y, angles.at(row / (heads * s), position), back);
                }
            },
        );
    });
    ys
}

impl CustomOp3 for Rotary {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let order = self.order(layout.dims())?;
        let angles = angles(slice(cos, cos_layout)?, slice(sin, sin_layout)?, cos_layout.dims());
        Ok(stored(turn(slice(xs, layout)?, angles, order, self.back), layout.shape()))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        cos: &Tensor,
        sin: &Tensor,
        _ys: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (order, dims) = (self.order(xs.dims())?, cos.dims());
        let dxs = with_slice(grad, |grad| {
            with_slice(cos, |cos| {
                with_slice(sin, |sin| Ok(turn(grad, angles(cos, sin, dims), order, !self.back)))
            })
        })?;
        Ok((Some(tensor_like(dxs, xs)?), None, None))
    }
}

/// See [`crate::ops::rotary`].
pub(crate) fn rotary(xs: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (b, _nh, s, hd) = xs.dims4()?;
    let (cos, sin) = half_tables(cos, sin, b, s, hd)?;
    xs.contiguous()?.apply_op3(&cos, &sin, Rotary { back: false, side_by_side: None })
}

/// See [`crate::ops::rotary_side_by_side`].
pub(crate) fn rotary_side_by_side(xs: &Tensor, heads: usize, tables: &ops::Rotary) -> Result<Tensor> {
    let (b, s, width) = xs.dims3()?;
    let (cos, sin) = half_tables(&tables.cos, &tables.sin, b, s, width / heads)?;
    xs.contiguous()?.apply_op3(&cos, &sin, Rotary { back: false, side_by_side: Some(heads) })
}
