//! AdamW (arXiv 1711.05101) with decoupled decay, f32 moments and a state that can be saved.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Tensor, Var, bail};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Gradients;
use super::moments::{CHUNK, Moment, MomentType};
use crate::error::{Error, Result};
use crate::ops::simd;
use crate::storage::host_copy;

/// Settings of the optimiser, with the usual defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Keeps the division finite.
    pub eps: f64,
    /// Decoupled weight decay of parameters that no group speaks for.
    pub weight_decay: f64,
    /// How moments are kept.
    #[serde(skip_serializing_if = "MomentType::is_usual")]
    pub moments: MomentType,
    /// Whether moments and masters of parameters elsewhere lie on the host, which then computes the update.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub offload: bool,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
            moments: MomentType::F32,
            offload: false,
        }
    }
}

/// Parameters that are treated alike.
pub struct Group {
    /// Which names belong to it. The first group that takes a name has it.
    pub matches: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// Multiplies the learning rate.
    pub lr_scale: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// Moments of one parameter, on the host where the update is one pass over slices, else as tensors.
enum Moments {
    Host { first: Moment, second: Moment, master: Option<Vec<f32>> },
    Device { first: Tensor, second: Tensor, master: Option<Tensor> },
}

struct Slot {
    var: Var,
    lr_scale: f64,
    weight_decay: f64,
    step: u64,
    moments: Moments,
}

/// The optimiser of a set of variables. A variable without gradient is left alone in that step.
pub struct AdamW {
    cfg: AdamWConfig,
    slots: BTreeMap<String, Slot>,
}

/// Everything one update needs, worked out once per parameter.
#[derive(Clone, Copy)]
struct Update {
    beta1: f32,
    beta2: f32,
    eps: f32,
    /// `1 - lr * weight_decay`
    keep: f32,
    /// `lr / (1 - beta1^step)`
    rate: f32,
    /// `1 / sqrt(1 - beta2^step)`
    second_scale: f32,
}

impl AdamW {
    /// An optimiser with zero moments for `vars`.
    pub fn new(
        vars: &BTreeMap<String, Var>,
        cfg: AdamWConfig,
        groups: &[Group],
    ) -> candle_core::Result<Self> {
        let mut slots = BTreeMap::new();
        for (name, var) in vars {
            let group = groups.iter().find(|group| (group.matches)(name));
            let direct = var.dtype() == DType::F32 && var.device().is_cpu() && var.is_contiguous();
            let count = var.elem_count();
            let packed = !cfg.moments.is_usual();
            if packed && !var.device().is_cpu() && !cfg.offload {
                bail!("{name}: moments in 8 bits are updated on the host: they need `offload` here");
            }
            let moments = if direct || packed || cfg.offload {
                let moment = |signed| Moment::zeros(count, cfg.moments, signed);
                let master = if direct { None } else { Some(on_host(var)?) };
                Moments::Host { first: moment(true), second: moment(false), master }
            } else {
                // Of their own: on a card moments change where they lie.
                let zeros = || Tensor::zeros(var.shape(), DType::F32, var.device());
                let narrow = var.dtype() != DType::F32;
                let master = if narrow { Some(var.as_detached_tensor().to_dtype(DType::F32)?) } else { None };
                Moments::Device { first: zeros()?, second: zeros()?, master }
            };
            let slot = Slot {
                var: var.clone(),
                lr_scale: group.map_or(1.0, |group| group.lr_scale),
                weight_decay: group.map_or(cfg.weight_decay, |group| group.weight_decay),
                step: 0,
                moments,
            };
            slots.insert(name.clone(), slot);
        }
        Ok(Self { cfg, slots })
    }

    /// One update with learning rate `lr`: a pass over each parameter, its gradient and its moments, all parameters side
    /// by side. Parameters on a card come one after the other, as they would in its stream.
    pub fn step(&mut self, grads: &Gradients, lr: f64) -> candle_core::Result<()> {
        let cfg = self.cfg;
        let step = |(name, slot): (&String, &mut Slot)| -> candle_core::Result<()> {
            let Some(grad) = grads.get(name) else { return Ok(()) };
            if grad.shape() != slot.var.shape() {
                bail!("gradient of {name:?} has shape {:?}, not {:?}", grad.shape(), slot.var.shape());
            }
            slot.step += 1;
            let lr = lr * slot.lr_scale;
            let exponent = slot.step.min(i32::MAX as u64) as i32;
            let update = Update {
                beta1: cfg.beta1 as f32,
                beta2: cfg.beta2 as f32,
                eps: cfg.eps as f32,
                keep: (1.0 - lr * slot.weight_decay) as f32,
                rate: (lr / (1.0 - cfg.beta1.powi(exponent))) as f32,
                second_scale: (1.0 / (1.0 - cfg.beta2.powi(exponent)).sqrt()) as f32,
            };
            slot.update(&grad.detach(), update)
        };
        if self.slots.values().all(|slot| slot.var.device().is_cpu()) {
            self.slots.par_iter_mut().try_for_each(step)
        } else {
            self.slots.iter_mut().try_for_each(step)
        }
    }

    /// Moments and step counts by name: `NAME.exp_avg`, `NAME.exp_avg_sq`, `NAME.step`, and `NAME.master` for
    /// parameters narrower than f32 or elsewhere. Moments in 8 bits are the names of values, with
    /// `NAME.exp_avg_scale` and `NAME.exp_avg_sq_scale` of their blocks. All are copies in the
    /// host's memory: who writes them may take until after the next step.
    pub fn state_dict(&self) -> candle_core::Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for (name, slot) in &self.slots {
            let (first, second) = match &slot.moments {
                Moments::Host { first, second, master } => {
                    if let Some(master) = master {
                        let master = Tensor::from_slice(master, slot.var.shape(), &Device::Cpu)?;
                        state.insert(format!("{name}.master"), master);
                    }
                    let mut tensor = |kind: &str, moment: &Moment| match moment {
                        Moment::Wide(values) => Tensor::from_slice(values, slot.var.shape(), &Device::Cpu),
                        Moment::Packed { codes, scales, .. } => {
                            let scales = Tensor::from_slice(scales, scales.len(), &Device::Cpu)?;
                            state.insert(format!("{name}.{kind}_scale"), scales);
                            Tensor::from_slice(codes, slot.var.shape(), &Device::Cpu)
                        }
                    };
                    (tensor("exp_avg", first)?, tensor("exp_avg_sq", second)?)
                }
                Moments::Device { first, second, master } => {
                    if let Some(master) = master {
                        state.insert(format!("{name}.master"), host_copy(master)?);
                    }
                    (host_copy(first)?, host_copy(second)?)
                }
            };
            state.insert(format!("{name}.exp_avg"), first);
            state.insert(format!("{name}.exp_avg_sq"), second);
            state.insert(format!("{name}.step"), Tensor::new(slot.step as i64, &Device::Cpu)?);
        }
        Ok(state)
    }

    /// Whether a name of a [`AdamW::state_dict`] is one of its own.
    pub fn keeps(&self, name: &str) -> bool {
        name.rsplit_once('.').is_some_and(|(parameter, _)| self.slots.contains_key(parameter))
    }

    /// Continues from what [`AdamW::state_dict`] returned. Every parameter's state must be there, with its shape.
    pub fn load_state_dict(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        const ORIGIN: &str = "optimiser state";
        for (name, slot) in &mut self.slots {
            let shape = slot.var.shape().clone();
            let device = slot.var.device().clone();
            let find = |kind: &str, wanted: &[usize], dtype: DType| {
                let name = format!("{name}.{kind}");
                let Some(tensor) = state.get(&name) else {
                    return Err(Error::MissingTensor { origin: ORIGIN.into(), name });
                };
                if tensor.dims() != wanted {
                    let (found, wanted) = (tensor.dims().to_vec(), wanted.to_vec());
                    return Err(Error::Shape { origin: ORIGIN.into(), name, found, wanted });
                }
                Ok(tensor.to_dtype(dtype)?.to_device(&device)?.contiguous()?)
            };
            slot.step = find("step", &[], DType::I64)?.to_scalar::<i64>()?.max(0) as u64;
            match &mut slot.moments {
                Moments::Host { first, second, master } => {
                    for (kind, moment) in [("exp_avg", first), ("exp_avg_sq", second)] {
                        match moment {
                            Moment::Wide(values) => {
                                *values = find(kind, shape.dims(), DType::F32)?.flatten_all()?.to_vec1()?;
                            }
                            Moment::Packed { codes, scales, .. } => {
                                let scale = format!("{kind}_scale");
                                *scales = find(&scale, &[scales.len()], DType::F32)?.to_vec1()?;
                                *codes = find(kind, shape.dims(), DType::U8)?.flatten_all()?.to_vec1()?;
                            }
                        }
                    }
                    if let Some(master) = master {
                        *master = find("master", shape.dims(), DType::F32)?.flatten_all()?.to_vec1()?;
                    }
                }
                Moments::Device { first, second, master } => {
                    // Copies, since steps change them and the caller's may lie on the same card.
                    let new_first = find("exp_avg", shape.dims(), DType::F32)?.copy()?;
                    let new_second = find("exp_avg_sq", shape.dims(), DType::F32)?.copy()?;
                    if let Some(master) = master {
                        *master = find("master", shape.dims(), DType::F32)?.copy()?;
                    }
                    (*first, *second) = (new_first, new_second);
                }
            }
        }
        Ok(())
    }
}

impl Slot {
    fn update(&mut self, grad: &Tensor, update: Update) -> candle_core::Result<()> {
        match &mut self.moments {
            Moments::Host { first, second, master } => {
                let grad = grad.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
                match master {
                    None => {
                        let pass = HostPass { update, moments: Mutex::new((first, second)) };
                        self.var.as_tensor().inplace_op2(&grad, &pass)
                    }
                    Some(master) => {
                        update.run(master, &grad.flatten_all()?.to_vec1::<f32>()?, first, second);
                        let moved = Tensor::from_slice(master, self.var.shape(), &Device::Cpu)?;
                        self.var.set(&moved.to_dtype(self.var.dtype())?.to_device(self.var.device())?)
                    }
                }
            }
            Moments::Device { first, second, master } => {
                #[cfg(feature = "cuda")]
                if crate::ops::adamw_on_card(
                    self.var.as_tensor(),
                    master.as_ref(),
                    [&*first, &*second],
                    grad,
                    update.into(),
                )? {
                    return Ok(());
                }
                let grad = grad.to_dtype(DType::F32)?;
                let u = update;
                let next_first = ((&*first * f64::from(u.beta1))? + (&grad * f64::from(1.0 - u.beta1))?)?;
                let next_second =
                    ((&*second * f64::from(u.beta2))? + (grad.sqr()? * f64::from(1.0 - u.beta2))?)?;
                let scale = ((next_second.sqrt()? * f64::from(u.second_scale))? + f64::from(u.eps))?;
                let old = master
                    .clone()
                    .map_or_else(|| Ok(self.var.as_detached_tensor()), Ok::<_, candle_core::Error>)?;
                let moved = ((old * f64::from(u.keep))? - ((&next_first / scale)? * f64::from(u.rate))?)?;
                self.var.set(&moved.to_dtype(self.var.dtype())?)?;
                if master.is_some() {
                    *master = Some(moved);
                }
                (*first, *second) = (next_first, next_second);
                Ok(())
            }
        }
    }
}

/// A parameter's values as f32 on the host.
fn on_host(var: &Var) -> candle_core::Result<Vec<f32>> {
    var.as_detached_tensor().to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

/// One pass over parameter, gradient and both moments.
struct HostPass<'a> {
    update: Update,
    moments: Mutex<(&'a mut Moment, &'a mut Moment)>,
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

#[cfg(feature = "cuda")]
impl From<Update> for crate::kernels::AdamUpdate {
    fn from(update: Update) -> Self {
        let Update { beta1, beta2, eps, keep, rate, second_scale } = update;
        Self { beta1, beta2, eps, keep, rate, second_scale }
    }
}

impl Update {
    /// One pass over slices of a parameter, its gradient and its moments.
    fn run(self, values: &mut [f32], grads: &[f32], first: &mut Moment, second: &mut Moment) {
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
            *first = self.beta1 * *first + (1.0 - self.beta1) * grad;
            *second = self.beta2 * *second + (1.0 - self.beta2) * grad * grad;
            let scale = second.sqrt() * self.second_scale + self.eps;
            *value = *value * self.keep - self.rate * *first / scale;
        }
    }
}
