//! Linear layers whose weight is bf16. The weight is read as it lies, which is half the reading when one token is
//! decoded; products and sums are f32.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use half::bf16;

use super::bf16::{WIDENED, wide, wide_slice, widened};
use super::linear::{FEW_ROWS, add_bias, few_rows, inputs, unread};
use super::matrix::{Matrix, product_of};

struct LinearBf16 {
    bias: bool,
    /// Whether nobody reads the values.
    unread: bool,
}

/// `xs`: `(rows, d)`, `weight`: `(o, d)` → `(rows, o)`
fn multiply(xs: &[f32], weight: &[bf16], d: usize, o: usize) -> Result<Vec<f32>> {
    let rows = xs.len() / d;
    if rows <= FEW_ROWS {
        return Ok(few_rows(xs, weight, d, o, wide));
    }
    let xs = Matrix::new(xs, rows, d, d);
    let outputs = (WIDENED / d).clamp(1, o);
    let part = |weight: &[bf16]| product_of(xs, Matrix::new(&widened(weight), weight.len() / d, d, d).t());
    if outputs == o {
        return part(weight);
    }
    let mut ys = vec![0.0; rows * o];
    for (at, weight) in weight.chunks(outputs * d).enumerate() {
        let values = part(weight)?;
        let width = weight.len() / d;
        for (y, values) in ys.chunks_exact_mut(o).zip(values.chunks_exact(width)) {
            y[at * outputs..][..width].copy_from_slice(values);
        }
    }
    Ok(ys)
}

impl CustomOp3 for LinearBf16 {
    fn name(&self) -> &'static str {
        "linear-bf16"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (o, d) = weight_layout.shape().dims2()?;
        let (CpuStorage::BF16(weight), Some((start, end))) = (weight, weight_layout.contiguous_offsets())
        else {
            bail!("a linear layer in bf16 needs a contiguous weight in bf16");
        };
        let mut ys = if self.unread {
            unread(layout.shape().elem_count() / d * o)
        } else {
            multiply(&wide_slice(xs, layout)?, &weight[start..end], d, o)?
        };
        if self.bias && !self.unread {
            add_bias(&mut ys, &wide_slice(bias, bias_layout)?);
        }
        let mut dims = layout.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = o;
        }
        let ys = match xs {
            CpuStorage::BF16(_) => CpuStorage::BF16(ys.into_iter().map(bf16::from_f32).collect()),
            _ => CpuStorage::F32(ys),
        };
        Ok((ys, dims.into()))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _ys: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (o, d) = weight.dims2()?;
        let rows = xs.elem_count() / d;
        let wide = |xs: &Tensor| xs.to_dtype(DType::F32);
        let grad = wide(grad)?.reshape((rows, o))?;
        let like = |grad: Tensor, xs: &Tensor| grad.reshape(xs.shape())?.to_dtype(xs.dtype()).map(Some);
        let dxs = if xs.track_op() { like(grad.matmul(&wide(weight)?)?, xs)? } else { None };
        let dweight = if weight.track_op() {
            like(grad.t()?.matmul(&wide(xs)?.reshape((rows, d))?)?, weight)?
        } else {
            None
        };
        let dbias = if self.bias && bias.track_op() { like(grad.sum(0)?, bias)? } else { None };
        Ok((dxs, dweight, dbias))
    }
}

/// See [`crate::ops::linear`].
pub(crate) fn linear_bf16(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    run(xs, weight, bias, false)
}

/// See [`crate::ops::linear_unread`].
pub(crate) fn linear_bf16_unread(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    run(xs, weight, bias, true)
}

fn run(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, unread: bool) -> Result<Tensor> {
    let op = LinearBf16 { bias: bias.is_some(), unread };
    let [xs, weight, bias] = inputs(xs, weight, bias)?;
    xs.apply_op3(&weight, &bias, op)
}
