//! Softmax over rows.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::data::{slice, stored, tensor_like, width, with_slice};
use super::math::exp;
use super::simd;

/// The largest of a row's scores that are numbers; minus infinity where there is none.
#[inline(always)]
pub(super) fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; simd::LANES];
    let mut chunks = row.chunks_exact(simd::LANES);
    for chunk in &mut chunks {
        for (m, x) in lanes.iter_mut().zip(chunk) {
            *m = if *x > *m { *x } else { *m };
        }
    }
    let mut top = f32::NEG_INFINITY;
    for x in lanes.iter().chain(chunks.remainder()) {
        top = if *x > top { *x } else { top };
    }
    top
}

/// Turns a row of scores into probabilities and returns the logarithm of the sum of their exponentials. A row of
/// minus infinities becomes zeros, with infinity returned.
#[inline(always)]
pub(super) fn softmax_row(row: &mut [f32]) -> f32 {
    let top = largest(row);
    if top == f32::NEG_INFINITY && !row.iter().any(|x| x.is_nan()) {
        row.fill(0.0);
        return f32::INFINITY;
    }
    let sum = simd::replace_and_sum(row, |x| exp(x - top));
    let scale = 1.0 / sum;
    for x in row.iter_mut() {
        *x *= scale;
    }
    top + sum.ln()
}

struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax-last"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let d = width(layout);
        let mut ys = slice(xs, layout)?.to_vec();
        simd::fill_rows(&mut ys, d, |_, ys| {
            simd::run(
                #[inline(always)]
                || {
                    for y in ys.chunks_exact_mut(d) {
                        softmax_row(y);
                    }
                },
            );
        });
        Ok(stored(ys, layout.shape()))
    }

    fn bwd(&self, xs: &Tensor, ys: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let d = width(xs.layout());
        let dxs = with_slice(ys, |ys| {
            with_slice(grad, |grad| {
                let mut dxs = vec![0.0; ys.len()];
                simd::fill_rows(&mut dxs, d, |row, dxs| {
                    let n = dxs.len();
                    let (ys, grad) = (&ys[row * d..][..n], &grad[row * d..][..n]);
                    simd::run(
                        #[inline(always)]
                        || {
                            let rows = ys.chunks_exact(d).zip(grad.chunks_exact(d));
                            for (dx, (y, g)) in dxs.chunks_exact_mut(d).zip(rows) {
                                let mean = simd::sum_2(y, g, |y, g| y * g);
                                for ((dx, y), g) in dx.iter_mut().zip(y).zip(g) {
                                    *dx = y * (g - mean);
                                }
                            }
                        },
                    );
                });
                Ok(dxs)
            })
        })?;
        tensor_like(dxs, xs).map(Some)
    }
}

/// See [`crate::ops::softmax_last`].
pub(crate) fn softmax_last(xs: &Tensor) -> Result<Tensor> {
    xs.contiguous()?.apply_op1(Softmax)
}
