//! RMS norm and layer norm. The statistics of a row are computed again in the backward, from values that are in the
//! cache anyway.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};

use super::data::{slice, stored, tensor_like, width, with_slice};
use super::simd;

/// One over the root of the mean square.
#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let square = simd::sum(x, |x| x * x);
    1.0 / (square / x.len() as f32 + eps).sqrt()
}

/// Mean, and one over the standard deviation.
#[inline(always)]
fn moments(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = simd::sum(x, |x| x) / n;
    let variance = simd::sum(x, |x| (x - mean) * (x - mean)) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

fn check(xs: &Tensor, weight: &Tensor) -> Result<usize> {
    let d = weight.dims1()?;
    if d == 0 || width(xs.layout()) != d {
        bail!("a norm over {d} values cannot take {:?}", xs.shape());
    }
    Ok(d)
}

struct RmsNorm {
    eps: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (xs, weight) = (slice(xs, layout)?, slice(weight, weight_layout)?);
        let d = weight.len();
        let mut ys = vec![0.0; xs.len()];
        simd::fill_rows(&mut ys, d, |row, ys| {
            let xs = &xs[row * d..][..ys.len()];
            simd::run(
                #[inline(always)]
                || {
                    for (y, x) in ys.chunks_exact_mut(d).zip(xs.chunks_exact(d)) {
                        let scale = inverse_rms(x, self.eps);
                        for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                            *y = x * scale * w;
                        }
                    }
                },
            );
        });
        Ok(stored(ys, layout.shape()))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        weight: &Tensor,
        _ys: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dxs, dweight) = with_slice(xs, |x| {
            with_slice(weight, |w| {
                with_slice(grad, |g| {
                    let dxs = xs.track_op().then(|| self.input_grad(x, w, g));
                    let dweight = weight.track_op().then(|| self.weight_grad(x, g, w.len()));
                    Ok((dxs, dweight))
                })
            })
        })?;
        let dxs = dxs.map(|values| tensor_like(values, xs)).transpose()?;
        Ok((dxs, dweight.map(|values| tensor_like(values, weight)).transpose()?))
    }
}

impl RmsNorm {
    fn input_grad(&self, xs: &[f32], weight: &[f32], grad: &[f32]) -> Vec<f32> {
        let d = weight.len();
        let mut dxs = vec![0.0; xs.len()];
        simd::fill_rows(&mut dxs, d, |row, dxs| {
            let (xs, grad) = (&xs[row * d..][..dxs.len()], &grad[row * d..][..dxs.len()]);
            simd::run(
                #[inline(always)]
                || {
                    let rows = xs.chunks_exact(d).zip(grad.chunks_exact(d));
                    for (dx, (x, g)) in dxs.chunks_exact_mut(d).zip(rows) {
                        let scale = inverse_rms(x, self.eps);
                        let along = simd::sum_3(g, weight, x, |g, w, x| g * w * x) * scale * scale / d as f32;
                        for (((dx, x), g), w) in dx.iter_mut().zip(x).zip(g).zip(weight) {
                            *dx = scale * (g * w - x * along);
                        }
                    }
                },
            );
        });
        dxs
    }

    fn weight_grad(&self, xs: &[f32], grad: &[f32], d: usize) -> Vec<f32> {
        simd::sum_rows(xs.len() / d, d, |from, to, sum| {
            let (xs, grad) = (&xs[from * d..to * d], &grad[from * d..to * d]);
            simd::run(
                #[inline(always)]
                || {
                    for (x, g) in xs.chunks_exact(d).zip(grad.chunks_exact(d)) {
                        let scale = inverse_rms(x, self.eps);
                        for ((sum, x), g) in sum.iter_mut().zip(x).zip(g) {
                            *sum += g * x * scale;
                        }
                    }
                },
            );
        })
    }
}

/// See [`crate::ops::rms_norm`].
pub(crate) fn rms_norm(xs: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    check(xs, weight)?;
    xs.contiguous()?.apply_op2(&weight.contiguous()?, RmsNorm { eps: eps as f32 })
}

struct LayerNorm {
    eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
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
        let (xs, weight) = (slice(xs, layout)?, slice(weight, weight_layout)?);
        let bias = slice(bias, bias_layout)?;
        let d = weight.len();
        let mut ys = vec![0.0; xs.len()];
        simd::fill_rows(&mut ys, d, |row, ys| {
            let xs = &xs[row * d..][..ys.len()];
            simd::run(
                #[inline(always)]
                || {
                    for (y, x) in ys.chunks_exact_mut(d).zip(xs.chunks_exact(d)) {
                        let (mean, scale) = moments(x, self.eps);
                        for (((y, x), w), b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                            *y = ((x - mean) * scale).mul_add(*w, *b);
                        }
                    }
                },
            );
        });
        Ok(stored(ys, layout.shape()))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _ys: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dxs, sums) = with_slice(xs, |x| {
            with_slice(weight, |w| {
                with_slice(grad, |g| {
                    let sums = weight.track_op() || bias.track_op();
                    let dxs = xs.track_op().then(|| self.input_grad(x, w, g));
                    Ok((dxs, sums.then(|| self.parameter_grads(x, g, w.len()))))
                })
            })
        })?;
        let dxs = dxs.map(|values| tensor_like(values, xs)).transpose()?;
        let Some(mut dweight) = sums else { return Ok((dxs, None, None)) };
        let d = weight.elem_count();
        let dbias = Tensor::from_vec(dweight.split_off(d), d, &Device::Cpu)?;
        let dweight = Tensor::from_vec(dweight, d, &Device::Cpu)?;
        Ok((dxs, weight.track_op().then_some(dweight), bias.track_op().then_some(dbias)))
    }
}

impl LayerNorm {
    fn input_grad(&self, xs: &[f32], weight: &[f32], grad: &[f32]) -> Vec<f32> {
        let d = weight.len();
        let mut dxs = vec![0.0; xs.len()];
        simd::fill_rows(&mut dxs, d, |row, dxs| {
            let (xs, grad) = (&xs[row * d..][..dxs.len()], &grad[row * d..][..dxs.len()]);
            simd::run(
                #[inline(always)]
                || {
                    let rows = xs.chunks_exact(d).zip(grad.chunks_exact(d));
                    for (dx, (x, g)) in dxs.chunks_exact_mut(d).zip(rows) {
                        let (mean, scale) = moments(x, self.eps);
                        let level = simd::sum_2(g, weight, |g, w| g * w) / d as f32;
                        let along = simd::sum_3(g, weight, x, |g, w, x| g * w * (x - mean)) * scale * scale
                            / d as f32;
                        for (((dx, x), g), w) in dx.iter_mut().zip(x).zip(g).zip(weight) {
                            *dx = scale * (g * w - level - (x - mean) * along);
                        }
                    }
                },
            );
        });
        dxs
    }

    /// Gradients of weight and bias, one after the other.
    fn parameter_grads(&self, xs: &[f32], grad: &[f32], d: usize) -> Vec<f32> {
        simd::sum_rows(xs.len() / d, 2 * d, |from, to, sums| {
            let (xs, grad) = (&xs[from * d..to * d], &grad[from * d..to * d]);
            let (dweight, dbias) = sums.split_at_mut(d);
            simd::run(
                #[inline(always)]
                || {
                    for (x, g) in xs.chunks_exact(d).zip(grad.chunks_exact(d)) {
                        let (mean, scale) = moments(x, self.eps);
                        let sums = dweight.iter_mut().zip(dbias.iter_mut());
                        for (((dweight, dbias), x), g) in sums.zip(x).zip(g) {
                            *dweight += g * (x - mean) * scale;
                            *dbias += g;
                        }
                    }
                },
            );
        })
    }
}

/// See [`crate::ops::layer_norm`].
pub(crate) fn layer_norm(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let d = check(xs, weight)?;
    let bias = match bias {
        Some(bias) if bias.dims() == [d] => bias.contiguous()?,
        Some(bias) => bail!("a norm over {d} values cannot take a bias of {:?}", bias.shape()),
        None => weight.zeros_like()?,
    };
    xs.contiguous()?.apply_op3(&weight.contiguous()?, &bias, LayerNorm { eps: eps as f32 })
}
