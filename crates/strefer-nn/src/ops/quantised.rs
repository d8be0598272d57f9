//! Products with a quantised weight that stays as it is, while gradients go through it to what it is applied to.

use std::sync::Arc;

use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{DType, Module, Result, Tensor};

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

    /// `xs · weightᵀ`. The backward unpacks the weight once: that is as large as the weight in f32.
    ///
    /// # Shapes
    /// - `xs`: `(.., d)` → `(.., o)`
    pub fn apply(&self, xs: &Tensor) -> Result<Tensor> {
        let wide = xs.detach().to_dtype(DType::F32)?.contiguous()?;
        let ys = self.product.forward(&wide)?.to_dtype(xs.dtype())?;
        if !xs.track_op() {
            return Ok(ys);
        }
        let weight = Arc::clone(&self.weight);
        with_backward("quantised-linear", xs, &ys, move |xs, grad| {
            let weight = weight.dequantize(xs.device())?; // (o, d)
            let rows = grad.to_dtype(DType::F32)?.reshape(((), weight.dim(0)?))?;
            Ok(Some(rows.matmul(&weight)?.reshape(xs.shape())?.to_dtype(xs.dtype())?))
        })
    }
}
