//! GELU, SiLU and SwiGLU.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::data::{slice, stored, tensor_like, with_slice};
use super::math::{exp, normal_cdf, normal_density, sigmoid};
use super::simd;
use crate::ops::Gelu;

/// Values of a row; only how work is cut depends on it.
const ROW: usize = 512;

/// A function of one number and its slope.
trait Function: Send + Sync + 'static {
    const NAME: &'static str;
    fn value(x: f32) -> f32;
    fn slope(x: f32) -> f32;
}

struct GeluErf;

impl Function for GeluErf {
    const NAME: &'static str = "gelu-erf";

    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * normal_cdf(x)
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        x.mul_add(normal_density(x), normal_cdf(x))
    }
}

/// GELU of rows with `bias` added to each, where they lie.
pub(super) fn gelu_in_place(gelu: Gelu, ys: &mut [f32], bias: Option<&[f32]>) {
    match gelu {
        Gelu::Erf => in_place::<GeluErf>(ys, bias),
        Gelu::Tanh => in_place::<GeluTanh>(ys, bias),
    }
}

fn in_place<F: Function>(ys: &mut [f32], bias: Option<&[f32]>) {
    let width = bias.map_or(ROW, <[f32]>::len);
    simd::fill_rows(ys, width, |_, ys| {
        simd::run(
            #[inline(always)]
            || match bias {
                Some(bias) => {
                    for ys in ys.chunks_exact_mut(width) {
                        ys.iter_mut().zip(bias).for_each(|(y, b)| *y = F::value(*y + b));
                    }
                }
                None => ys.iter_mut().for_each(|y| *y = F::value(*y)),
            },
        );
    });
}

struct GeluTanh;

/// `2 sqrt(2 / pi)`: half of one plus the hyperbolic tangent of `u` is the sigmoid of `2 u`.
const STRETCH: f32 = 1.595_769;
const CUBIC: f32 = 0.044_715;

impl Function for GeluTanh {
    const NAME: &'static str = "gelu-tanh";

    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(STRETCH * x * (CUBIC * x).mul_add(x, 1.0))
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let share = sigmoid(STRETCH * x * (CUBIC * x).mul_add(x, 1.0));
        let inner = STRETCH * (3.0 * CUBIC * x).mul_add(x, 1.0);
        (x * share * (1.0 - share)).mul_add(inner, share)
    }
}

struct Silu;

impl Function for Silu {
    const NAME: &'static str = "silu";

    #[inline(always)]
    fn value(x: f32) -> f32 {
        x / (1.0 + exp(-x))
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let share = sigmoid(x);
        (x * share).mul_add(1.0 - share, share)
    }
}

struct Pointwise<F>(std::marker::PhantomData<F>);

impl<F: Function> CustomOp1 for Pointwise<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(&self, xs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let xs = slice(xs, layout)?;
        let ys = simd::map(xs, F::value);
        Ok(stored(ys, layout.shape()))
    }

    fn bwd(&self, xs: &Tensor, _ys: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dxs = with_slice(xs, |xs| {
            with_slice(grad, |grad| {
                let mut dxs = vec![0.0; xs.len()];
                simd::fill_rows(&mut dxs, ROW, |row, dxs| {
                    let (xs, grad) = (&xs[row * ROW..][..dxs.len()], &grad[row * ROW..][..dxs.len()]);
                    simd::run(
                        #[inline(always)]
                        || {
                            for ((dx, x), g) in dxs.iter_mut().zip(xs).zip(grad) {
                                *dx = g * F::slope(*x);
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

fn pointwise<F: Function>(xs: &Tensor) -> Result<Tensor> {
    xs.contiguous()?.apply_op1(Pointwise::<F>(std::marker::PhantomData))
}

/// See [`crate::ops::gelu_erf`].
pub(crate) fn gelu_erf(xs: &Tensor) -> Result<Tensor> {
    pointwise::<GeluErf>(xs)
}

/// See [`crate::ops::gelu_tanh`].
pub(crate) fn gelu_tanh(xs: &Tensor) -> Result<Tensor> {
    pointwise::<GeluTanh>(xs)
}

/// See [`crate::ops::silu`].
pub(crate) fn silu(xs: &Tensor) -> Result<Tensor> {
    pointwise::<Silu>(xs)
}

struct Swiglu;

#[inline(always)]
fn gate_rows(ys: &mut [f32], gate: &[f32], up: &[f32]) {
    for ((y, gate), up) in ys.iter_mut().zip(gate).zip(up) {
        *y = Silu::value(*gate) * up;
    }
}

/// The gradients of gates and what they let through.
#[inline(always)]
fn gate_rows_back([dgate, dup]: [&mut [f32]; 2], gate: &[f32], up: &[f32], grad: &[f32]) {
    for ((((dgate, dup), gate), up), g) in dgate.iter_mut().zip(dup).zip(gate).zip(up).zip(grad) {
        let share = sigmoid(*gate);
        *dup = g * gate * share;
        *dgate = g * up * (gate * share).mul_add(1.0 - share, share);
    }
}

impl CustomOp2 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (gate, up) = (slice(gate, gate_layout)?, slice(up, up_layout)?);
        let mut ys = vec![0.0; gate.len()];
        simd::fill_rows(&mut ys, ROW, |row, ys| {
            let (gate, up) = (&gate[row * ROW..][..ys.len()], &up[row * ROW..][..ys.len()]);
            simd::run(
                #[inline(always)]
                || gate_rows(ys, gate, up),
            );
        });
        Ok(stored(ys, gate_layout.shape()))
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        _ys: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dgate, dup) = with_slice(gate, |gate| {
            with_slice(up, |up| {
                with_slice(grad, |grad| {
                    let (mut dgate, mut dup) = (vec![0.0; gate.len()], vec![0.0; gate.len()]);
                    simd::fill_rows_2(&mut dgate, &mut dup, ROW, |row, dgate, dup| {
                        let n = dgate.len();
                        let (gate, up) = (&gate[row * ROW..][..n], &up[row * ROW..][..n]);
                        let grad = &grad[row * ROW..][..n];
                        simd::run(
                            #[inline(always)]
                            || gate_rows_back([dgate, dup], gate, up, grad),
                        );
                    });
                    Ok((dgate, dup))
                })
            })
        })?;
        Ok((Some(tensor_like(dgate, gate)?), Some(tensor_like(dup, up)?)))
    }
}

/// The same of rows whose first half is the gate, each half of this width.
struct SwigluJoined(usize);

impl CustomOp1 for SwigluJoined {
    fn name(&self) -> &'static str {
        "swiglu-joined"
    }

    fn cpu_fwd(&self, both: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (both, width) = (slice(both, layout)?, self.0);
        let mut ys = vec![0.0; both.len() / 2];
        simd::fill_rows(&mut ys, width, |row, ys| {
            let both = &both[2 * row * width..][..2 * ys.len()];
            simd::run(
                #[inline(always)]
                || {
                    for (ys, both) in ys.chunks_exact_mut(width).zip(both.chunks_exact(2 * width)) {
                        let (gate, up) = both.split_at(width);
                        gate_rows(ys, gate, up);
                    }
                },
            );
        });
        let mut dims = layout.dims().to_vec();
        dims.pop();
        dims.push(width);
        Ok(stored(ys, dims))
    }

    fn bwd(&self, both: &Tensor, _ys: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let width = self.0;
        let dboth = with_slice(both, |both| {
            with_slice(grad, |grad| {
                let mut dboth = vec![0.0; both.len()];
                simd::fill_rows(&mut dboth, 2 * width, |row, dboth| {
                    let both = &both[2 * row * width..][..dboth.len()];
                    let grad = &grad[row * width..][..dboth.len() / 2];
                    simd::run(
                        #[inline(always)]
                        || {
                            let rows = dboth.chunks_exact_mut(2 * width).zip(both.chunks_exact(2 * width));
                            for ((dboth, both), grad) in rows.zip(grad.chunks_exact(width)) {
                                let ((dgate, dup), (gate, up)) =
                                    (dboth.split_at_mut(width), both.split_at(width));
                                gate_rows_back([dgate, dup], gate, up, grad);
                            }
                        },
                    );
                });
                Ok(dboth)
            })
        })?;
        tensor_like(dboth, both).map(Some)
    }
}

/// See [`crate::ops::swiglu_joined`].
pub(crate) fn swiglu_joined(both: &Tensor, width: usize) -> Result<Tensor> {
    both.contiguous()?.apply_op1(SwigluJoined(width))
}

/// See [`crate::ops::swiglu`].
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if gate.shape() != up.shape() {
        candle_core::bail!("swiglu: gate has shape {:?}, up {:?}", gate.shape(), up.shape());
    }
    gate.contiguous()?.apply_op2(&up.contiguous()?, Swiglu)
}
