//! The arithmetic of one parameter's update.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Tensor, bail};
use rayon::prelude::*;

use super::AdamWConfig;
use super::moments::{CHUNK, Moment};
use crate::ops::simd;

/// Everything one update needs, worked out once per parameter.
#[derive(Clone, Copy)]
pub(super) struct Update {
    /// What the gradient is multiplied with.
    pub factor: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    /// `1 - lr * weight_decay`
    pub keep: f32,
    /// `lr / (1 - beta1^step)`
    pub rate: f32,
    /// `1 / sqrt(1 - beta2^step)`
    pub second_scale: f32,
}

impl Update {
    /// That of step `step`, counted from 1.
    pub(super) fn new(cfg: &AdamWConfig, step: u64, lr: f64, weight_decay: f64, factor: f64) -> Self {
        let exponent = step.min(i32::MAX as u64) as i32;
        Self {
            factor: factor as f32,
            beta1: cfg.beta1 as f32,
            beta2: cfg.beta2 as f32,
            eps: cfg.eps as f32,
            keep: (1.0 - lr * weight_decay) as f32,
            rate: (lr / (1.0 - cfg.beta1.powi(exponent))) as f32,
            second_scale: (1.0 / (1.0 - cfg.beta2.powi(exponent)).sqrt()) as f32,
        }
    }

    /// The new values of `old` by operations of candle, which puts new moments in the place of the old ones.
    pub(super) fn composed(
        self,
        old: &Tensor,
        grad: &Tensor,
        [first, second]: [&mut Tensor; 2],
    ) -> candle_core::Result<Tensor> {
        let mut grad = grad.to_dtype(DType::F32)?;
        if self.factor != 1.0 {
            grad = (grad * f64::from(self.factor))?;
        }
        *first = ((&*first * f64::from(self.beta1))? + (&grad * f64::from(1.0 - self.beta1))?)?;
        *second = ((&*second * f64::from(self.beta2))? + (grad.sqr()? * f64::from(1.0 - self.beta2))?)?;
        let scale = ((second.sqrt()? * f64::from(self.second_scale))? + f64::from(self.eps))?;
        (old * f64::from(self.keep))? - ((&*first / scale)? * f64::from(self.rate))?
    }

    /// One pass over slices of a parameter, its gradient and its moments.
    pub(super) fn run(self, values: &mut [f32], grads: &[f32], first: &mut Moment, second: &mut Moment) {
        let moments = first.chunks().into_par_iter().zip(second.chunks());
        values.par_chunks_mut(CHUNK).zip(grads.par_chunks(CHUNK)).zip(moments).for_each(
            |((values, grads), (first, second))| {
                first.update(|first| {
                    second.update(|second| {
                        simd::run(
                            #[inline(always)]
                            || self.apply(values, grads, first, second),
                        );
                    });
                });
            },
        );
    }

    #[inline(always)]
    fn apply(self, values: &mut [f32], grads: &[f32], first: &mut [f32], second: &mut [f32]) {
        for (((value, &grad), first), second) in values.iter_mut().zip(grads).zip(first).zip(second) {
            let grad = grad * self.factor;
            *first = self.beta1 * *first + (1.0 - self.beta1) * grad;
            *second = self.beta2 * *second + (1.0 - self.beta2) * grad * grad;
            let scale = second.sqrt() * self.second_scale + self.eps;
            *value = *value * self.keep - self.rate * *first / scale;
        }
    }
}

/// One pass over parameter, gradient and both moments.
pub(super) struct HostPass<'a> {
    update: Update,
    moments: Mutex<(&'a mut Moment, &'a mut Moment)>,
}

impl<'a> HostPass<'a> {
    pub(super) fn new(update: Update, first: &'a mut Moment, second: &'a mut Moment) -> Self {
        Self { update, moments: Mutex::new((first, second)) }
    }
}

impl InplaceOp2 for HostPass<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        layout: &Layout,
        grads: &CpuStorage,
        grads_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(values), CpuStorage::F32(grads)) = (values, grads) else {
            bail!("adamw: not f32");
        };
        let (Some((v0, v1)), Some((g0, g1))) =
            (layout.contiguous_offsets(), grads_layout.contiguous_offsets())
        else {
            bail!("adamw: not contiguous");
        };
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, second) = &mut *moments;
        self.update.run(&mut values[v0..v1], &grads[g0..g1], first, second);
        Ok(())
    }
}
