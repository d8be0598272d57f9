//! Linear layers: one product forward, two backward, none of them copies a matrix.

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::data::{slice, stored, tensor_like, with_slice};
use super::matrix::{Matrix, product};
use super::simd;

/// Up to this many rows are multiplied one by one: the weight is read once, and reading it is the work.
const FEW_ROWS: usize = 3;

struct Linear {
    bias: bool,
}

impl Linear {
    fn forward(&self, xs: &[f32], weight: &[f32], bias: &[f32], d: usize, o: usize) -> Result<Vec<f32>> {
        let rows = xs.len() / d.max(1);
        let mut ys = vec![0.0; rows * o];
        if rows <= FEW_ROWS {
            few_rows(&mut ys, xs, weight, d, o);
            if self.bias {
                for y in ys.chunks_exact_mut(o) {
                    y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                }
            }
            return Ok(ys);
        }
        if self.bias {
            for y in ys.chunks_exact_mut(o) {
                y.copy_from_slice(bias);
            }
        }
        product(&mut ys, Matrix::new(xs, rows, d, d), Matrix::new(weight, o, d, d).t(), self.bias, true)?;
        Ok(ys)
    }
}

/// One product per output, the outputs spread over threads.
fn few_rows(ys: &mut [f32], xs: &[f32], weight: &[f32], d: usize, o: usize) {
    const BLOCK: usize = 64;
    for (y, x) in ys.chunks_exact_mut(o).zip(xs.chunks_exact(d)) {
        let block = |(at, y): (usize, &mut [f32])| {
            let weight = &weight[at * BLOCK * d..][..y.len() * d];
            simd::run(
                #[inline(always)]
                || {
                    for (y, w) in y.iter_mut().zip(weight.chunks_exact(d)) {
                        *y = simd::sum_2(w, x, |w, x| w * x);
                    }
                },
            );
        };
        if o * d < 1 << 17 {
            y.chunks_mut(BLOCK).enumerate().for_each(block);
        } else {
            y.par_chunks_mut(BLOCK).enumerate().for_each(block);
        }
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
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
        let (xs, weight) = (slice(xs, layout)?, slice(weight, weight_layout)?);
        let ys = self.forward(xs, weight, slice(bias, bias_layout)?, d, o)?;
        let mut dims = layout.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = o;
        }
        Ok(stored(ys, dims))
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
        let rows = xs.elem_count() / d.max(1);
        with_slice(grad, |g| {
            let g_matrix = Matrix::new(g, rows, o, o);
            let dxs = if xs.track_op() {
                let dxs = with_slice(weight, |w| {
                    let mut dxs = vec![0.0; rows * d];
                    product(&mut dxs, g_matrix, Matrix::new(w, o, d, d), false, true)?;
                    Ok(dxs)
                })?;
                Some(tensor_like(dxs, xs)?)
            } else {
                None
            };
            let dweight = if weight.track_op() {
                let dweight = with_slice(xs, |x| {
                    let mut dweight = vec![0.0; o * d];
                    product(&mut dweight, g_matrix.t(), Matrix::new(x, rows, d, d), false, true)?;
                    Ok(dweight)
                })?;
                Some(tensor_like(dweight, weight)?)
            } else {
                None
            };
            let dbias = (self.bias && bias.track_op()).then(|| column_sums(g, o));
            let dbias = dbias.map(|values| Tensor::from_vec(values, o, &Device::Cpu)).transpose()?;
            Ok((dxs, dweight, dbias))
        })
    }
}

/// Sums of the columns of rows of `width` values.
pub(super) fn column_sums(values: &[f32], width: usize) -> Vec<f32> {
    simd::sum_rows(values.len() / width, width, |from, to, sum| {
        let rows = &values[from * width..to * width];
        simd::run(
            #[inline(always)]
            || {
                for row in rows.chunks_exact(width) {
                    for (sum, x) in sum.iter_mut().zip(row) {
                        *sum += x;
                    }
                }
            },
        );
    })
}

/// See [`crate::ops::linear`].
pub(crate) fn linear(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (o, d) = weight.dims2()?;
    if xs.dims().last() != Some(&d) || d == 0 || o == 0 {
        bail!("a linear layer of {:?} cannot take {:?}", weight.shape(), xs.shape());
    }
    let op = Linear { bias: bias.is_some() };
    let bias = match bias {
        Some(bias) if bias.dims() == [o] => bias.contiguous()?,
        Some(bias) => {
            bail!("a linear layer of {:?} cannot take a bias of {:?}", weight.shape(), bias.shape())
        }
        None => Tensor::zeros(1, weight.dtype(), &Device::Cpu)?,
    };
    xs.contiguous()?.apply_op3(&weight.contiguous()?, &bias, op)
}
