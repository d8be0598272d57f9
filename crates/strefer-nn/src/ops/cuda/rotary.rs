//! Rotation of heads, in both layouts that models have them in.

use candle_core::{DType, Result, Tensor, bail};

use super::card::{tensor, with_tensors};
use super::fused::Fused;
use crate::kernels::{self, Turn};
use crate::ops::Rotary;

/// See [`crate::ops::rotary`].
pub(in crate::ops) fn rotary(xs: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (batch, heads, positions, hd) = xs.dims4()?;
    turned(xs, cos, sin, [batch, heads, positions, hd], true)
}

/// The same for heads side by side, `(b, s, nh*hd)`.
pub(in crate::ops) fn rotary_side_by_side(xs: &Tensor, heads: usize, rotary: &Rotary) -> Result<Tensor> {
    let (batch, positions, width) = xs.dims3()?;
    if heads == 0 || !width.is_multiple_of(heads) {
        bail!("{heads} heads do not fill {width}");
    }
    turned(xs, &rotary.cos, &rotary.sin, [batch, heads, positions, width / heads], false)
}

fn turned(
    xs: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    [batch, heads, positions, hd]: [usize; 4],
    heads_first: bool,
) -> Result<Tensor> {
    let (rows, of_positions, entries) = cos.dims3()?;
    if cos.dims() != sin.dims() || (rows != 1 && rows != batch) || of_positions != positions {
        bail!("rotation tables {:?} and {:?} do not fit {:?}", cos.shape(), sin.shape(), xs.shape());
    }
    let own_tables = rows != 1;
    let turn = Turn { batch, heads, positions, hd, heads_first, entries, own_tables, back: false };
    let table = |table: &Tensor| match table.dtype() {
        DType::F32 => table.contiguous(),
        _ => table.to_dtype(xs.dtype())?.contiguous(),
    };
    let (cos, sin) = (table(cos)?, table(sin)?);
    let (back_cos, back_sin) = (cos.clone(), sin.clone());
    let op = Fused::new(
        "rotary",
        xs.shape().clone(),
        move |card, values| {
            with_tensors(&[&cos, &sin], |_, tables| {
                kernels::rotary(card, values[0], tables[0], tables[1], turn)
            })
        },
        move |inputs, _ys, grad| {
            let back = Turn { back: true, ..turn };
            let dxs = with_tensors(&[grad, &back_cos, &back_sin], |card, values| {
                kernels::rotary(card, values[0], values[1], values[2], back)
            })?;
            Ok(vec![Some(tensor(dxs, inputs[0].shape())?)])
        },
    );
    op.at(&[xs])
}
