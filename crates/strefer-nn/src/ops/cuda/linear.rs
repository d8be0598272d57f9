//! Linear layers in half types.

use candle_core::{DType, Result, Shape, Tensor};

use super::applies;
use super::card::{tensor, with_tensors};
use super::fused::{Fused, Grads};
use crate::kernels::{self, Finish, Runner, Update, Values};

/// The library chooses among its products as if every matrix lay on so many bytes.
const LIBRARY_ALIGNMENT: usize = 256;

/// Whether a matrix lies as the library takes it for granted, or will be copied to where it does.
fn lies_well(xs: &Tensor) -> bool {
    let start = xs.layout().start_offset() * xs.dtype().size_in_bytes();
    start.is_multiple_of(LIBRARY_ALIGNMENT) || !xs.is_contiguous()
}

/// Whether a layer is in a half type that products on a card take, its weight in one run.
pub(in crate::ops) fn takes_layer(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> bool {
    let Ok((o, d)) = weight.dims2() else { return false };
    matches!(xs.dtype(), DType::BF16 | DType::F16)
        && xs.dims().last() == Some(&d)
        && d > 0
        // Rows of both factors and of the result lie on 16 bytes.
        && o.is_multiple_of(8)
        && d.is_multiple_of(8)
        && weight.is_contiguous()
        && [xs, weight].into_iter().chain(bias).all(lies_well)
        && applies([xs, weight].into_iter().chain(bias))
}

/// Whether there is a kernel for a layer over so few rows, of which nothing learns.
pub(in crate::ops) fn takes_few_rows(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> bool {
    let Ok((_o, d)) = weight.dims2() else { return false };
    let inputs = || [xs, weight].into_iter().chain(bias);
    let on_16_bytes = |xs: &Tensor| xs.layout().start_offset().is_multiple_of(8);
    xs.dims().last() == Some(&d)
        && kernels::takes_rows(xs.dtype(), xs.elem_count() / d.max(1), d)
        && weight.is_contiguous()
        && [xs, weight].into_iter().all(on_16_bytes)
        && applies(inputs())
        && !inputs().any(Tensor::track_op)
}

/// Rows of `xs` as wide as `weight` has rows.
fn widened(xs: &Tensor, weight: &Tensor) -> Result<Shape> {
    let mut dims = xs.dims().to_vec();
    dims.pop();
    dims.push(weight.dim(0)?);
    Ok(dims.into())
}

fn rows(xs: &Tensor) -> Result<Tensor> {
    let width = xs.dims().last().copied().unwrap_or(1);
    xs.contiguous()?.reshape(((), width))
}

/// See [`crate::ops::linear`].
pub(in crate::ops) fn few_rows(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let d = weight.dim(1)?;
    let inputs: Vec<&Tensor> = [xs, weight].into_iter().chain(bias).collect();
    let ys = with_tensors(&inputs, |card, values| {
        kernels::few_rows(card, values[0], values[1], values.get(2).copied(), d)
    })?;
    tensor(ys, widened(xs, weight)?)
}

/// See [`crate::ops::linear`].
pub(in crate::ops) fn linear(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let d = weight.dim(1)?;
    let op = Fused::new(
        "linear",
        widened(xs, weight)?,
        move |card, values| {
            let finish = values.get(2).map_or(Finish::Plain, |bias| Finish::Bias(*bias));
            kernels::linear(card, values[0], values[1], finish, d)
        },
        |inputs, _ys, grad| back(inputs, grad),
    );
    op.at(&[xs, weight].into_iter().chain(bias).collect::<Vec<_>>())
}

/// See [`crate::ops::linear_unread`].
pub(in crate::ops) fn linear_unread(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let shape = widened(xs, weight)?;
    let count = shape.elem_count();
    let op = Fused::new(
        "linear-unread",
        shape,
        move |card, values| card.reserve(values[0].dtype, count),
        |inputs, _ys, grad| back(inputs, grad),
    );
    op.at(&[xs, weight].into_iter().chain(bias).collect::<Vec<_>>())
}

/// The gradients of a layer's input, weight and, where there is one, bias.
fn back(inputs: &[&Tensor], grad: &Tensor) -> Result<Grads> {
    let (xs, weight) = (inputs[0], inputs[1]);
    let grad = rows(grad)?;
    let of_xs = xs.track_op().then(|| grad.matmul(weight)?.reshape(xs.shape()));
    let of_weight = weight.track_op().then(|| grad.t()?.matmul(&rows(xs)?));
    // A product reads rows as they lie; candle's sum would go down the columns.
    let sums = || Tensor::ones((1, grad.dim(0)?), grad.dtype(), grad.device())?.matmul(&grad)?.squeeze(0);
    let of_bias = inputs.get(2).filter(|bias| bias.track_op()).map(|_| sums());
    Ok(vec![of_xs.transpose()?, of_weight.transpose()?, of_bias.transpose()?])
}

/// See [`crate::ops::linear_gelu`], of the approximation by a hyperbolic tangent; keeps no history.
pub(in crate::ops) fn linear_gelu_tanh(xs: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let d = weight.dim(1)?;
    let ys = with_tensors(&[xs, weight, bias], |card, values| {
        kernels::linear(card, values[0], values[1], Finish::BiasGelu(values[2]), d)
    })?;
    tensor(ys, widened(xs, weight)?)
}

/// See [`crate::ops::linear_updated`]; neither weight nor bias learns.
pub(in crate::ops) fn linear_updated(
    xs: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    low: &Tensor,
    b: &Tensor,
) -> Result<Tensor> {
    let (d, rank) = (weight.dim(1)?, b.dim(1)?);
    let (of_forward, of_backward) = (weight.detach(), weight.detach());
    let bias = bias.map(Tensor::detach);
    let op = Fused::new(
        "linear-updated",
        widened(xs, weight)?,
        move |card, values| {
            let constants: Vec<&Tensor> = std::iter::once(&of_forward).chain(&bias).collect();
            let update = Update { low: values[1], weight: values[2], rank };
            with_tensors(&constants, |_, constants: &[Values]| {
                let finish = constants.get(1).map_or(Finish::Plain, |bias| Finish::Bias(*bias));
                kernels::linear_updated(card, values[0], constants[0], finish, d, update)
            })
        },
        move |inputs, _ys, grad| -> Result<Grads> {
            let (xs, low, b) = (inputs[0], inputs[1], inputs[2]);
            let grad = rows(grad)?;
            let of_xs = xs.track_op().then(|| grad.matmul(&of_backward)?.reshape(xs.shape()));
            let of_low = low.track_op().then(|| grad.matmul(b)?.reshape(low.shape()));
            let of_b = b.track_op().then(|| grad.t()?.matmul(&rows(low)?));
            Ok(vec![of_xs.transpose()?, of_low.transpose()?, of_b.transpose()?])
        },
    );
    op.at(&[xs, low, b])
}
