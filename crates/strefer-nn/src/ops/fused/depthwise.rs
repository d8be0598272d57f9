//! Depthwise convolution with the channels last: one pass over the map, nothing gathered or padded.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::data::{slice, stored, tensor_like, with_slice};
use super::simd;

/// Height, width and channels of a stack of maps, and the side of the filters.
#[derive(Clone, Copy)]
struct Map {
    h: usize,
    w: usize,
    c: usize,
    k: usize,
}

impl Map {
    /// Calls `visit` with every pixel of row `row` (rows of all maps counted through) that a filter reaches: the tap,
    /// the pixel's place in the row and the place of its neighbour under that tap among all pixels.
    #[inline(always)]
    fn taps(self, row: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let (map, y) = (row / self.h, row % self.h);
        let reach = self.k / 2;
        for tap in 0..self.k * self.k {
            let (down, across) = (tap / self.k, tap % self.k);
            if y + down < reach || y + down >= self.h + reach {
                continue;
            }
            let neighbours = (map * self.h + y + down - reach) * self.w;
            let first = reach.saturating_sub(across);
            let last = self.w.saturating_sub(across.saturating_sub(reach));
            for x in first..last {
                visit(tap, x, neighbours + x + across - reach);
            }
        }
    }

    /// The convolution, `(maps, h, w, c)` by `(k*k, c)`.
    fn convolve(self, xs: &[f32], taps: &[f32]) -> Vec<f32> {
        let Self { w, c, .. } = self;
        let mut ys = vec![0.0; xs.len()];
        simd::fill_rows(&mut ys, w * c, |first, ys| {
            simd::run(
                #[inline(always)]
                || {
                    for (nth, ys) in ys.chunks_exact_mut(w * c).enumerate() {
                        self.taps(first + nth, |tap, x, neighbour| {
                            let taps = &taps[tap * c..][..c];
                            let xs = &xs[neighbour * c..][..c];
                            for ((y, tap), x) in ys[x * c..][..c].iter_mut().zip(taps).zip(xs) {
                                *y = tap.mul_add(*x, *y);
                            }
                        });
                    }
                },
            );
        });
        ys
    }

    /// Gradient of the filters, `(k*k, c)`.
    fn filter_grad(self, xs: &[f32], grad: &[f32]) -> Vec<f32> {
        let Self { w, c, k, .. } = self;
        simd::sum_rows(xs.len() / (w * c), k * k * c, |from, to, sum| {
            simd::run(
                #[inline(always)]
                || {
                    for row in from..to {
                        let grad = &grad[row * w * c..][..w * c];
                        self.taps(row, |tap, x, neighbour| {
                            let (grad, xs) = (&grad[x * c..][..c], &xs[neighbour * c..][..c]);
                            for ((sum, g), x) in sum[tap * c..][..c].iter_mut().zip(grad).zip(xs) {
                                *sum = g.mul_add(*x, *sum);
                            }
                        });
                    }
                },
            );
        })
    }
}

struct Depthwise(Map);

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        layout: &Layout,
        taps: &CpuStorage,
        taps_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ys = self.0.convolve(slice(xs, layout)?, slice(taps, taps_layout)?);
        Ok(stored(ys, layout.shape()))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        taps: &Tensor,
        _ys: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let map = self.0;
        let (dxs, dtaps) = with_slice(xs, |x| {
            with_slice(taps, |t| {
                with_slice(grad, |g| {
                    // The filter turned round leads gradients back to where values came from.
                    let turned: Vec<f32> = t.chunks_exact(map.c).rev().flatten().copied().collect();
                    let dxs = xs.track_op().then(|| map.convolve(g, &turned));
                    Ok((dxs, taps.track_op().then(|| map.filter_grad(x, g))))
                })
            })
        })?;
        let dxs = dxs.map(|values| tensor_like(values, xs)).transpose()?;
        Ok((dxs, dtaps.map(|values| tensor_like(values, taps)).transpose()?))
    }
}

/// See [`crate::ops::depthwise`].
pub(crate) fn depthwise(xs: &Tensor, weight: &Tensor, k: usize) -> Result<Tensor> {
    let (_b, h, w, c) = xs.dims4()?;
    let taps = weight.reshape((c, k * k))?.t()?.contiguous()?; // (k*k, c)
    if xs.elem_count() == 0 {
        return Ok(xs.clone());
    }
    xs.contiguous()?.apply_op2(&taps, Depthwise(Map { h, w, c, k }))
}
