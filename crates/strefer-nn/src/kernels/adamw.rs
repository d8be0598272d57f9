//! AdamW of many parameters at once.

use candle_core::{DType, Result, bail};

use super::listed::{Listed, type_of};
use super::{Arg, Runner, Values, check, int, pack, packed, pointer_to, suffix};

/// Numbers of a moment in eight bits that share a scale.
pub const SCALED: usize = 256;

/// What a step asks of all parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// What gradients are multiplied with.
    pub factor: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Keeps the division finite.
    pub eps: f32,
}

/// What it asks of one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamRates {
    /// `1 - lr * weight_decay`
    pub keep: f32,
    /// `lr / (1 - beta1^step)`
    pub rate: f32,
    /// `1 / sqrt(1 - beta2^step)`
    pub second_scale: f32,
}

/// The first and the second moment of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AdamMoments {
    /// In f32.
    Wide([Values; 2]),
    /// In eight bits, with an f32 scale for every [`SCALED`] of them.
    Eight {
        /// Names of values.
        codes: [Values; 2],
        /// What the values are multiplied with.
        scales: [Values; 2],
    },
}

/// One parameter, in place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamParameter {
    /// In f32.
    pub master: Values,
    /// The weights where they are narrower than the master.
    pub weight: Option<Values>,
    /// Of the weights' type, or f32.
    pub grad: Values,
    /// Both alike.
    pub moments: AdamMoments,
    /// How far it goes.
    pub rates: AdamRates,
}

/// The update of parameters of one kind: with weights of one type, gradients of one type, and moments kept one way.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamUpdate {
    step: AdamStep,
    listed: Listed,
    numbers: Vec<f32>,
    kernel: String,
}

impl AdamUpdate {
    /// The update of these, of which there is one at least. `table`: the 256 ascending values that the codes of first
    /// moments name, then those of second ones; it is read where moments are in eight bits.
    pub fn new(step: AdamStep, parameters: &[AdamParameter], table: &[f32]) -> Result<Self> {
        let weights = type_of("weights", parameters.iter().map(|one| one.weight.unwrap_or(one.master)))?;
        let grads = type_of("gradients", parameters.iter().map(|one| one.grad))?;
        if grads != DType::F32 && grads != weights {
            bail!("gradients of {grads:?} do not fit weights of {weights:?}");
        }
        let is_eight = |one: &AdamParameter| matches!(one.moments, AdamMoments::Eight { .. });
        let eight = parameters.iter().any(is_eight);
        if !parameters.iter().all(|one| is_eight(one) == eight) {
            bail!("moments in 8 bits and in f32 need an update each");
        }
        let mut numbers = if eight { table.to_vec() } else { Vec::new() };
        if eight && table.len() != 512 {
            bail!("moments in 8 bits need 512 values, not {}", table.len());
        }
        let mut listed = Listed::default();
        for one in parameters {
            one.check(weights)?;
            let AdamParameter { master, weight, grad, moments, rates } = *one;
            let (moments, scales) = match moments {
                AdamMoments::Wide(moments) => (moments, [None; 2]),
                AdamMoments::Eight { codes, scales } => (codes, scales.map(Some)),
            };
            let all: Vec<Values> = [master, grad].into_iter().chain(moments).chain(weight).collect();
            let [first_scales, second_scales] = scales.map(pointer_to);
            let [first, second] = moments.map(|values| values.address);
            let others = [master.address, pointer_to(weight), first, second, first_scales, second_scales];
            listed.push(grad, packed(pack(&all), &all), &others);
            numbers.extend([rates.keep, rates.rate, rates.second_scale]);
        }
        let kept = if eight { "_eight" } else { "" };
        let kernel = format!("adamw{kept}_{}_{}", suffix(weights)?, suffix(grads)?);
        Ok(Self { step, listed, numbers, kernel })
    }

    /// What has to lie where the kernel runs, besides [`AdamUpdate::numbers`].
    pub fn list(&self) -> &[i64] {
        &self.listed.words
    }

    /// What has to lie where the kernel runs, besides [`AdamUpdate::list`].
    pub fn numbers(&self) -> &[f32] {
        &self.numbers
    }
}

impl AdamParameter {
    fn check(&self, weights: DType) -> Result<()> {
        let count = self.master.count;
        check("master weights", self.master, DType::F32, count)?;
        check("gradients", self.grad, self.grad.dtype, count)?;
        if let Some(weight) = self.weight {
            check("weights", weight, weights, count)?;
        }
        let (moments, dtype) = match self.moments {
            AdamMoments::Wide(moments) => (moments, DType::F32),
            AdamMoments::Eight { codes, scales } => {
                for scales in scales {
                    check("scales of moments", scales, DType::F32, count.div_ceil(SCALED))?;
                }
                (codes, DType::U8)
            }
        };
        for moment in moments {
            check("moments", moment, dtype, count)?;
        }
        Ok(())
    }
}

/// One update in place.
pub fn adamw<R: Runner>(runner: &R, update: &AdamUpdate, list: Values, numbers: Values) -> Result<()> {
    let AdamUpdate { step, listed, numbers: own, kernel } = update;
    listed.check(list)?;
    check("numbers of parameters", numbers, DType::F32, own.len())?;
    if listed.chunks == 0 {
        return Ok(());
    }
    let args = vec![
        Arg::Pointer(list.address),
        Arg::Pointer(numbers.address),
        int("parameters", listed.entries)?,
        Arg::Float(step.factor),
        Arg::Float(step.beta1),
        Arg::Float(step.beta2),
        Arg::Float(step.eps),
    ];
    runner.launch(&listed.launch("adamw", kernel.clone(), args)?)
}
