//! Linear layers: one product forward, two backward, none of them copies a matrix.

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::activation::gelu_in_place;
use super::data::{slice, stored, tensor_like, with_slice};
use super::matrix::{Matrix, product_of};
use super::simd;
use crate::ops::Gelu;

/// Up to this many rows are multiplied one by one: the weight is read once, and reading it is the work.
pub(super) const FEW_ROWS: usize = 8;

struct Linear {
    bias: bool,
    /// What comes behind it, which has no backward here.
    gelu: Option<Gelu>,
    /// Whether nobody reads the values.
    unread: bool,
}

/// Values that nobody reads; where assertions are on, whoever does is found out.
pub(super) fn unread(count: usize) -> Vec<f32> {
    if cfg!(debug_assertions) { vec![f32::NAN; count] } else { vec![0.0; count] }
}

impl Linear {
    fn forward(&self, xs: &[f32], weight: &[f32], bias: &[f32], d: usize, o: usize) -> Result<Vec<f32>> {
        let rows = xs.len() / d.max(1);
        if self.unread {
            return Ok(unread(rows * o));
        }
        let mut ys = if rows <= FEW_ROWS {
            few_rows(xs, weight, d, o, |w| w)
        } else {
            product_of(Matrix::new(xs, rows, d, d), Matrix::new(weight, o, d, d).t())?
        };
        match self.gelu {
            Some(gelu) => gelu_in_place(gelu, &mut ys, self.bias.then_some(bias)),
            None if self.bias => add_bias(&mut ys, bias),
            None => {}
        }
        Ok(ys)
    }
}

/// One sum per output, the outputs spread over threads. `wide` makes an f32 of an entry of the weight, which is read
/// once, in the order in which it lies.
pub(super) fn few_rows<W: Copy + Sync>(
    xs: &[f32],
    weight: &[W],
    d: usize,
    o: usize,
    wide: impl Fn(W) -> f32 + Copy + Sync,
) -> Vec<f32> {
    const BLOCK: usize = 64;
    let rows = xs.len() / d;
    let mut turned = vec![0.0; o * rows]; // (o, rows)
    let block = |(at, turned): (usize, &mut [f32])| {
        let weight = &weight[at * BLOCK * d..];
        simd::run(
            #[inline(always)]
            || {
                for (ys, w) in turned.chunks_exact_mut(rows).zip(weight.chunks_exact(d)) {
                    for (y, x) in ys.iter_mut().zip(xs.chunks_exact(d)) {
                        *y = simd::sum_2(w, x, |w, x| wide(w) * x);
                    }
                }
            },
        );
    };
    let piece = (BLOCK * rows).max(1);
    if o * d < 1 << 17 {
        turned.chunks_mut(piece).enumerate().for_each(block);
    } else {
        turned.par_chunks_mut(piece).enumerate().for_each(block);
    }
    if rows <= 1 {
        return turned;
    }
    (0..rows).flat_map(|row| turned[row..].iter().step_by(rows).copied()).collect()
}

/// Adds `bias` to every row.
pub(super) fn add_bias(ys: &mut [f32], bias: &[f32]) {
    let o = bias.len();
    simd::fill_rows(ys, o, |_, ys| {
        simd::run(
            #[inline(always)]
            || {
                for y in ys.chunks_exact_mut(o) {
                    y.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
                }
            },
        );
    });
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
        if self.gelu.is_some() {
            bail!("a linear layer and what comes behind it have no gradient together");
        }
        let (o, d) = weight.dims2()?;
        let rows = xs.elem_count() / d.max(1);
        with_slice(grad, |g| {
            let g_matrix = Matrix::new(g, rows, o, o);
            let dxs = if xs.track_op() {
                let dxs = with_slice(weight, |w| product_of(g_matrix, Matrix::new(w, o, d, d)))?;
                Some(tensor_like(dxs, xs)?)
            } else {
                None
            };
            let dweight = if weight.track_op() {
                let dweight = with_slice(xs, |x| product_of(g_matrix.t(), Matrix::new(x, rows, d, d)))?;
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

/// Three contiguous inputs whose shapes fit, the bias a single zero where there is none.
pub(super) fn inputs(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<[Tensor; 3]> {
    let (o, d) = weight.dims2()?;
    if xs.dims().last() != Some(&d) || d == 0 || o == 0 {
        bail!("a linear layer of {:?} cannot take {:?}", weight.shape(), xs.shape());
    }
    let bias = match bias {
        Some(bias) if bias.dims() == [o] => bias.contiguous()?,
        Some(bias) => {
            bail!("a linear layer of {:?} cannot take a bias of {:?}", weight.shape(), bias.shape())
        }
        None => Tensor::zeros(1, weight.dtype(), &Device::Cpu)?,
    };
    Ok([xs.contiguous()?, weight.contiguous()?, bias])
}

/// See [`crate::ops::linear`].
pub(crate) fn linear(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    run(xs, weight, bias, Linear { bias: bias.is_some(), gelu: None, unread: false })
}

/// See [`crate::ops::linear_unread`].
pub(crate) fn linear_unread(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    run(xs, weight, bias, Linear { bias: bias.is_some(), gelu: None, unread: true })
}

/// See [`crate::ops::linear_gelu`]; without a history.
pub(crate) fn linear_gelu(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, gelu: Gelu) -> Result<Tensor> {
    run(xs, weight, bias, Linear { bias: bias.is_some(), gelu: Some(gelu), unread: false })
}

fn run(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, op: Linear) -> Result<Tensor> {
    let [xs, weight, bias] = inputs(xs, weight, bias)?;
    xs.apply_op3(&weight, &bias, op)
}
