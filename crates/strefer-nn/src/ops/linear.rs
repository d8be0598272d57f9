//! Linear layers: alone, with a low-rank update, with GELU behind them, or for their gradients alone.

use candle_core::{Result, Tensor};

#[cfg(feature = "cuda")]
use super::cuda;
use super::{composed, fused, gelu_erf, gelu_tanh};

/// `xs · weightᵀ + bias` as one product of two matrices, however many dimensions lie before the last. The result has the
/// type of `xs`; on the CPU a weight in bf16 serves `xs` in f32 too, and sums are f32.
///
/// # Shapes
/// - `xs`: `(.., d)`, `weight`: `(o, d)`, `bias`: `(o)` → `(.., o)`
pub fn linear(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::takes_few_rows(xs, weight, bias) {
        return cuda::few_rows(xs, weight, bias);
    }
    // A plain product without a history is the library's either way; with one, candle's backward would keep more.
    #[cfg(feature = "cuda")]
    if (bias.is_some() || xs.track_op() || weight.track_op()) && cuda::takes_layer(xs, weight, bias) {
        return cuda::linear(xs, weight, bias);
    }
    if fused::applies([xs, weight].into_iter().chain(bias)) {
        fused::linear(xs, weight, bias)
    } else if fused::applies_bf16(xs, weight, bias) {
        fused::linear_bf16(xs, weight, bias)
    } else {
        composed::linear(xs, weight, bias)
    }
}

/// [`linear`], where nobody reads the values and only gradients go through: the last product of a layer that runs again in the
/// backward. Where that can be had, nothing is multiplied, and the values are any.
///
/// # Shapes
/// - `xs`: `(.., d)`, `weight`: `(o, d)`, `bias`: `(o)` → `(.., o)`
pub fn linear_unread(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::takes_layer(xs, weight, bias) {
        return cuda::linear_unread(xs, weight, bias);
    }
    if fused::applies([xs, weight].into_iter().chain(bias)) {
        fused::linear_unread(xs, weight, bias)
    } else if fused::applies_bf16(xs, weight, bias) {
        fused::linear_bf16_unread(xs, weight, bias)
    } else {
        composed::linear(xs, weight, bias)
    }
}

/// [`linear`] with a low-rank update of its weight, whose first matrix has made `low` of `xs`: `low · bᵀ` is added.
///
/// # Shapes
/// - `xs`: `(.., d)`, `weight`: `(o, d)`, `bias`: `(o)`, `low`: `(.., rank)`, `b`: `(o, rank)` → `(.., o)`
pub fn linear_updated(
    xs: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    low: &Tensor,
    b: &Tensor,
) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    {
        let learns = [weight].into_iter().chain(bias).any(Tensor::track_op);
        if !learns && cuda::takes_layer(xs, weight, bias) && cuda::takes_layer(low, b, None) {
            return cuda::linear_updated(xs, weight, bias, low, b);
        }
    }
    linear(xs, weight, bias)? + linear(low, b, None)?
}

/// The two forms of GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gelu {
    /// [`gelu_erf`]
    Erf,
    /// [`gelu_tanh`]
    Tanh,
}

/// GELU of a [`linear`] layer. Where nothing needs a gradient, no more than the result exists.
///
/// # Shapes
/// - `xs`: `(.., d)`, `weight`: `(o, d)`, `bias`: `(o)` → `(.., o)`
pub fn linear_gelu(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, gelu: Gelu) -> Result<Tensor> {
    let inputs = || [xs, weight].into_iter().chain(bias);
    let learns = inputs().any(Tensor::track_op);
    if fused::applies(inputs()) && !learns {
        return fused::linear_gelu(xs, weight, bias, gelu);
    }
    #[cfg(feature = "cuda")]
    if let (Gelu::Tanh, Some(bias), false) = (gelu, bias, learns)
        && cuda::takes_layer(xs, weight, Some(bias))
    {
        return cuda::linear_gelu_tanh(xs, weight, bias);
    }
    apply_gelu(&linear(xs, weight, bias)?, gelu)
}

pub(crate) fn apply_gelu(xs: &Tensor, gelu: Gelu) -> Result<Tensor> {
    match gelu {
        Gelu::Erf => gelu_erf(xs),
        Gelu::Tanh => gelu_tanh(xs),
    }
}
