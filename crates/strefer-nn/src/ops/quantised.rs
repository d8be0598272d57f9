//! Products with a quantised weight that stays as it is, while gradients go through it to what it is applied to.

use std::sync::Arc;

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{D, DType, Module, Result, Tensor};

use super::composed;
use crate::known::with_backward;

/// A weight in blocks of few bits, `(o, d)`.
#[derive(Debug, Clone)]
pub struct QuantisedWeight {
    product: QMatMul,
    weight: Arc<QTensor>,
}

impl QuantisedWeight {
    /// Takes a weight as it lies.
    pub fn new(weight: Arc<QTensor>) -> Result<Self> {
        Ok(Self { product: QMatMul::from_arc(Arc::clone(&weight))?, weight })
    }

    /// `xs · weightᵀ`, by the library's kernels, which round `xs` to 8 bits. On a card, many rows of bf16 or f16 take the unpacked
    /// weight instead, which is as large as the weight in their type; the backward always does.
    ///
    /// # Shapes
    /// - `xs`: `(.., d)` → `(.., o)`
    pub fn apply(&self, xs: &Tensor) -> Result<Tensor> {
        let ys = match self.is_unpacked_for(xs)? {
            true => composed::linear(&xs.detach(), &self.unpacked(xs)?, None)?,
            false => {
                let wide = xs.detach().to_dtype(DType::F32)?.contiguous()?;
                self.product.forward(&wide)?.to_dtype(xs.dtype())?
            }
        };
        if !xs.track_op() {
            return Ok(ys);
        }
        let own = self.clone();
        with_backward("quantised-linear", xs, &ys, move |xs, grad| {
            let weight = own.unpacked(xs)?;
            let of_xs = composed::linear(&grad.to_dtype(weight.dtype())?, &weight.t()?, None)?;
            Ok(Some(of_xs.to_dtype(xs.dtype())?))
        })
    }

    /// Whether the rows of `xs` are so many that unpacking the weight for a product in their type costs less than products in
    /// 8 bits.
    fn is_unpacked_for(&self, xs: &Tensor) -> Result<bool> {
        let rows = xs.elem_count() / xs.dim(D::Minus1)?.max(1);
        Ok(is_narrow_on_a_card(xs) && rows >= UNPACKED_FROM)
    }

    /// The weight, `(o, d)`: in f32, or in the type of what a card has narrow.
    fn unpacked(&self, like: &Tensor) -> Result<Tensor> {
        match is_narrow_on_a_card(like) {
            true => self.weight.dequantize_f16(like.device())?.to_dtype(like.dtype()),
            false => self.weight.dequantize(like.device()),
        }
    }
}

/// From how many rows on a card unpacks a weight.
const UNPACKED_FROM: usize = 64;

fn is_narrow_on_a_card(xs: &Tensor) -> bool {
    xs.device().is_cuda() && matches!(xs.dtype(), DType::BF16 | DType::F16)
}
