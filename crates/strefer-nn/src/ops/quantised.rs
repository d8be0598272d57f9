//! Products with a quantised weight that stays as it is, while gradients go through it to what it is applied to.

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::quantized::{QMatMul, QTensor};
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Module, Result, Shape, Tensor};

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
        xs.apply_op2(&ys.detach(), Through { weight: Arc::clone(&self.weight) })
    }
}

/// Gives its second input, which is the product of the first.
struct Through {
    weight: Arc<QTensor>,
}

impl CustomOp2 for Through {
    fn name(&self) -> &'static str {
        "quantised-linear"
    }

    fn cpu_fwd(
        &self,
        _xs: &CpuStorage,
        _xs_layout: &Layout,
        ys: &CpuStorage,
        ys_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((ys.try_clone(ys_layout)?, ys_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        _xs: &candle_core::CudaStorage,
        _xs_layout: &Layout,
        ys: &candle_core::CudaStorage,
        ys_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        Ok((ys.try_clone(ys_layout)?, ys_layout.shape().clone()))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        _ys: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let weight = self.weight.dequantize(xs.device())?; // (o, d)
        let o = weight.dim(0)?;
        let rows = grad.to_dtype(DType::F32)?.reshape(((), o))?;
        let grad = rows.matmul(&weight)?.reshape(xs.shape())?.to_dtype(xs.dtype())?;
        Ok((Some(grad), None))
    }
}
