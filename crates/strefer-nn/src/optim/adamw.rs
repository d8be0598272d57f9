//! AdamW (arXiv 1711.05101) with decoupled decay, f32 moments and a state that can be saved.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var, bail};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Gradients;
use super::moments::{Kept, Moment, MomentType};
use super::update::{HostPass, Update};
use crate::error::{Error, Result};
use crate::ops;
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
pub(super) enum Moments {
    Host { first: Moment, second: Moment, master: Option<Vec<f32>> },
    Device { first: Kept, second: Kept, master: Option<Tensor> },
}

/// One parameter's part of a step.
pub(super) struct Turn<'a> {
    pub slot: &'a mut Slot,
    /// Without a history.
    pub grad: Tensor,
    pub update: Update,
}

pub(super) struct Slot {
    pub var: Var,
    lr_scale: f64,
    weight_decay: f64,
    step: u64,
    pub moments: Moments,
}

impl Slot {
    /// Whether there is a way to move it by such a gradient: kernels alone read moments in 8 bits on a card.
    fn can_take(&self, grad: &Tensor) -> bool {
        let Moments::Device { first: Kept::Packed { .. }, .. } = &self.moments else { return true };
        let var = self.var.as_tensor();
        ops::takes_update(var) && grad.dtype().is_float() && grad.device().same_device(var.device())
    }
}

/// The optimiser of a set of variables. A variable without gradient is left alone in that step.
pub struct AdamW {
    cfg: AdamWConfig,
    slots: BTreeMap<String, Slot>,
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
            let on_card = !var.device().is_cpu() && !cfg.offload;
            if packed && on_card && !ops::takes_update(var.as_tensor()) {
                bail!(
                    "{name}: on a card, moments in 8 bits are updated by this crate's kernels: they need \
                     STREFER_KERNELS=fused, or `offload`"
                );
            }
            let moments = if direct || cfg.offload || (packed && !on_card) {
                let moment = |signed| Moment::zeros(count, cfg.moments, signed);
                let master = if direct { None } else { Some(on_host(var)?) };
                Moments::Host { first: moment(true), second: moment(false), master }
            } else {
                let zeros = |signed| Kept::zeros(var.shape(), cfg.moments, signed, var.device());
                let narrow = var.dtype() != DType::F32;
                let master = if narrow { Some(var.as_detached_tensor().to_dtype(DType::F32)?) } else { None };
                Moments::Device { first: zeros(true)?, second: zeros(false)?, master }
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

    /// One update with learning rate `lr`: a pass over each parameter, its gradient and its moments. On the host all
    /// parameters go side by side; on a card, where its kernels are used, those of one kind share a launch.
    pub fn step(&mut self, grads: &Gradients, lr: f64) -> candle_core::Result<()> {
        self.step_scaled(grads, lr, 1.0)
    }

    /// As [`AdamW::step`], of the gradients times `factor`, which is done on the way.
    pub fn step_scaled(&mut self, grads: &Gradients, lr: f64, factor: f64) -> candle_core::Result<()> {
        for (name, slot) in &self.slots {
            let shape = slot.var.shape();
            if let Some(grad) = grads.get(name).filter(|grad| grad.shape() != shape) {
                bail!("gradient of {name:?} has shape {:?}, not {shape:?}", grad.shape());
            }
        }
        // Before anything is moved.
        for (name, slot) in &self.slots {
            if let Some(grad) = grads.get(name).filter(|grad| !slot.can_take(grad)) {
                let (dtype, place) = (grad.dtype(), grad.device().location());
                bail!(
                    "{name:?}: moments in 8 bits on a card need STREFER_KERNELS=fused and a gradient there, not {dtype:?} at {place:?}"
                );
            }
        }
        let cfg = self.cfg;
        let turn = |(name, slot): (&String, _)| Some(Turn::new(slot, grads.get(name)?, &cfg, lr, factor));
        let turns: Vec<Turn> = self.slots.iter_mut().filter_map(turn).collect();
        #[cfg(feature = "cuda")]
        let turns = super::card::by_kernels(turns)?;
        if turns.iter().all(|turn| turn.slot.var.device().is_cpu()) {
            turns.into_par_iter().try_for_each(Turn::take)
        } else {
            turns.into_iter().try_for_each(Turn::take)
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
                    for (kind, moment) in [("exp_avg", first), ("exp_avg_sq", second)] {
                        if let Some(scales) = moment.scales() {
                            state.insert(format!("{name}.{kind}_scale"), host_copy(scales)?);
                        }
                    }
                    (host_copy(first.values())?, host_copy(second.values())?)
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
                // Names of values are no moments, nor moments names.
                if tensor.dtype() != dtype {
                    let (found, wanted) = (tensor.dtype(), dtype);
                    return Err(Error::Type { origin: ORIGIN.into(), name, found, wanted });
                }
                Ok(tensor.to_device(&device)?.contiguous()?)
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
                    for (kind, moment) in [("exp_avg", first), ("exp_avg_sq", second)] {
                        match moment {
                            Kept::Wide(values) => *values = find(kind, shape.dims(), DType::F32)?.copy()?,
                            Kept::Packed { codes, scales } => {
                                let count = scales.dims().to_vec();
                                *scales = find(&format!("{kind}_scale"), &count, DType::F32)?.copy()?;
                                *codes = find(kind, shape.dims(), DType::U8)?.copy()?;
                            }
                        }
                    }
                    if let Some(master) = master {
                        *master = find("master", shape.dims(), DType::F32)?.copy()?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl<'a> Turn<'a> {
    fn new(slot: &'a mut Slot, grad: &Tensor, cfg: &AdamWConfig, lr: f64, factor: f64) -> Self {
        slot.step += 1;
        let update = Update::new(cfg, slot.step, lr * slot.lr_scale, slot.weight_decay, factor);
        Self { slot, grad: grad.detach(), update }
    }

    fn take(self) -> candle_core::Result<()> {
        let Self { slot: Slot { var, moments, .. }, grad, update } = self;
        match moments {
            Moments::Host { first, second, master } => {
                let grad = grad.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
                match master {
                    None => var.as_tensor().inplace_op2(&grad, &HostPass::new(update, first, second)),
                    Some(master) => {
                        update.run(master, &grad.flatten_all()?.to_vec1::<f32>()?, first, second);
                        let moved = Tensor::from_slice(master, var.shape(), &Device::Cpu)?;
                        var.set(&moved.to_dtype(var.dtype())?.to_device(var.device())?)
                    }
                }
            }
            Moments::Device { first: Kept::Wide(first), second: Kept::Wide(second), master } => {
                let old = master.clone().unwrap_or_else(|| var.as_detached_tensor());
                let moved = update.composed(&old, &grad, [first, second])?;
                var.set(&moved.to_dtype(var.dtype())?)?;
                if master.is_some() {
                    *master = Some(moved);
                }
                Ok(())
            }
            Moments::Device { .. } => bail!("moments in 8 bits need the kernels that they began with"),
        }
    }
}

/// A parameter's values as f32 on the host.
fn on_host(var: &Var) -> candle_core::Result<Vec<f32>> {
    var.as_detached_tensor().to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
