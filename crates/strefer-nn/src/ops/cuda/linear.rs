//! Linear layers over a few rows.

use candle_core::{Result, Tensor};

use super::applies;
use super::card::{tensor, with_tensors};
use crate::kernels;

/// Whether there is a kernel for a layer over so few rows, of which nothing learns.
pub(in crate::ops) fn takes_few_rows(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> bool {
    let Ok((_o, d)) = weight.dims2() else { return false };
    let inputs = || [xs, weight].into_iter().chain(bias);
    xs.dims().last() == Some(&d)
        && kernels::takes_rows(xs.dtype(), xs.elem_count() / d.max(1), d)
        && weight.is_contiguous()
        && applies(inputs())
        && !inputs().any(Tensor::track_op)
}

/// See [`crate::ops::linear`].
pub(in crate::ops) fn few_rows(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (o, d) = weight.dims2()?;
    let inputs: Vec<&Tensor> = [xs, weight].into_iter().chain(bias).collect();
    let ys = with_tensors(&inputs, |card, values| {
        kernels::few_rows(card, values[0], values[1], values.get(2).copied(), d)
    })?;
    let mut dims = xs.dims().to_vec();
    dims.pop();
    dims.push(o);
    tensor(ys, dims)
}
