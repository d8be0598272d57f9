//! Linear layers, plain, with a low-rank update, or with a quantised weight.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use serde::{Deserialize, Serialize};

use crate::dropout::Dropout;
use crate::ops::{self, Gelu, QuantisedWeight};
use crate::recompute::Pass;

/// A low-rank update of a frozen weight (LoRA, arXiv 2106.09685).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the update.
    pub rank: usize,
    /// The update is scaled by `alpha / rank`.
    pub alpha: f64,
}

/// `y = x Wᵀ + b`, and with LoRA `+ alpha / rank · (x Aᵀ) Bᵀ`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    lora: Option<Box<Lora>>,
    /// Stands for `weight` where there is one.
    quantised: Option<QuantisedWeight>,
}

#[derive(Debug, Clone)]
struct Lora {
    /// `(rank, d)`
    lora_a: Tensor,
    /// `(o, rank)`, zeros at first, so that the layer starts as it was
    lora_b: Tensor,
    scale: f64,
    dropout: Option<Dropout>,
}

/// Spread of fresh weights: the usual uniform one for layers read with [`linear`].
fn fresh_weight(input: usize) -> Init {
    let bound = 1.0 / (input.max(1) as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}

/// A linear layer with bias.
pub fn linear(input: usize, output: usize, vb: VarBuilder) -> Result<Linear> {
    linear_init(input, output, true, fresh_weight(input), vb)
}

/// A linear layer without bias.
pub fn linear_no_bias(input: usize, output: usize, vb: VarBuilder) -> Result<Linear> {
    linear_init(input, output, false, fresh_weight(input), vb)
}

/// A linear layer whose fresh weight follows `init`; a fresh bias is zero.
pub fn linear_init(input: usize, output: usize, bias: bool, init: Init, vb: VarBuilder) -> Result<Linear> {
    let weight = vb.get_with_hints((output, input), "weight", init)?;
    let bias = if bias { Some(vb.get_with_hints(output, "bias", Init::Const(0.))?) } else { None };
    Ok(Linear::new(weight, bias))
}

impl Linear {
    /// A layer of given weights: `weight` is `(o, d)`, `bias` is `(o)`.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias, lora: None, quantised: None }
    }

    /// Adds a low-rank update, whose matrices are `lora_A.weight` and `lora_B.weight` below `vb`.
    pub fn with_lora(mut self, cfg: &LoraConfig, vb: VarBuilder) -> Result<Self> {
        let (output, input) = self.weight.dims2()?;
        let lora_a = vb.get_with_hints((cfg.rank, input), "lora_A.weight", fresh_weight(input))?;
        let lora_b = vb.get_with_hints((output, cfg.rank), "lora_B.weight", Init::Const(0.))?;
        let scale = cfg.alpha / cfg.rank.max(1) as f64;
        self.lora = Some(Box::new(Lora { lora_a, lora_b, scale, dropout: None }));
        Ok(self)
    }

    /// What goes into the low-rank update, where there is one, is dropped by `dropout` from now on.
    pub fn set_dropout(&mut self, dropout: Dropout) {
        if let Some(lora) = &mut self.lora {
            lora.dropout = Some(dropout);
        }
    }

    /// Takes a quantised weight in the place of the plain one. It does not learn; gradients go through it.
    ///
    /// # Errors
    /// A weight of another shape.
    pub fn quantise(&mut self, weight: Arc<QTensor>) -> Result<()> {
        if weight.shape() != self.weight.shape() {
            bail!("a quantised weight of {:?} for a layer of {:?}", weight.shape(), self.weight.shape());
        }
        self.quantised = Some(QuantisedWeight::new(weight)?);
        Ok(())
    }

    /// One layer that gives what these give side by side, for running; nothing where one of them has a low-rank update, a
    /// quantised weight or one that learns, where their inputs or types differ, or where only some have a bias.
    ///
    /// # Errors
    /// No memory for the joined weight.
    pub fn joined(parts: &[&Self]) -> Result<Option<Self>> {
        let Some(first) = parts.first() else { return Ok(None) };
        let fits = |part: &&Self| {
            let plain = part.lora.is_none() && part.quantised.is_none() && !part.weight.track_op();
            plain
                && part.weight.dtype() == first.weight.dtype()
                && part.weight.dims().last() == first.weight.dims().last()
                && part.bias.is_some() == first.bias.is_some()
        };
        if !parts.iter().all(fits) {
            return Ok(None);
        }
        let weights: Vec<&Tensor> = parts.iter().map(|part| &part.weight).collect();
        let biases: Vec<&Tensor> = parts.iter().filter_map(|part| part.bias.as_ref()).collect();
        let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
        Ok(Some(Self::new(Tensor::cat(&weights, 0)?, bias)))
    }

    /// The layer with its update folded into the weight.
    pub fn merge(&self) -> Result<Self> {
        Ok(Self { weight: self.effective_weight()?, bias: self.bias.clone(), lora: None, quantised: None })
    }

    /// The weight with the update, if there is one: `(o, d)`.
    pub fn effective_weight(&self) -> Result<Tensor> {
        if self.quantised.is_some() {
            bail!("a quantised weight is for running only");
        }
        match &self.lora {
            Some(lora) => &self.weight + (lora.lora_b.matmul(&lora.lora_a)? * lora.scale)?,
            None => Ok(self.weight.clone()),
        }
    }

    /// `(o, d)`, without the update.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(o)`
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}

impl Linear {
    /// The exact GELU of what the layer gives: `(.., d)` → `(.., o)`
    pub fn forward_gelu(&self, xs: &Tensor) -> Result<Tensor> {
        self.forward_gelu_as(Gelu::Erf, xs)
    }

    /// GELU of what the layer gives: `(.., d)` → `(.., o)`
    pub fn forward_gelu_as(&self, gelu: Gelu, xs: &Tensor) -> Result<Tensor> {
        if self.lora.is_none() && self.quantised.is_none() {
            ops::linear_gelu(xs, &self.weight, self.bias.as_ref(), gelu)
        } else {
            ops::apply_gelu(&self.forward(xs)?, gelu)
        }
    }
}

impl Module for Linear {
    /// `xs`: `(.., d)` → `(.., o)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let low = self.lora.as_ref().map(|lora| lora.low(xs).map(|low| (low, &lora.lora_b))).transpose()?;
        let Some(weight) = &self.quantised else {
            let (weight, bias) = (&self.weight, self.bias.as_ref());
            return match &low {
                Some((low, b)) => ops::linear_updated(xs, weight, bias, low, b),
                None => ops::linear(xs, weight, bias),
            };
        };
        let ys = weight.apply(xs)?;
        let ys = match &self.bias {
            Some(bias) => ys.broadcast_add(&bias.to_dtype(xs.dtype())?)?,
            None => ys,
        };
        match &low {
            Some((low, b)) => ys + ops::linear(low, b, None)?,
            None => Ok(ys),
        }
    }
}

impl Linear {
    /// The layer as the last of those that run again in the backward: on the way back, where nobody reads what it gives, only
    /// gradients go through ([`ops::linear_unread`]). `(.., d)` → `(.., o)`
    pub fn forward_last(&self, xs: &Tensor, pass: Pass) -> Result<Tensor> {
        if pass == Pass::Forward || self.quantised.is_some() {
            return self.forward(xs);
        }
        let ys = ops::linear_unread(xs, &self.weight, self.bias.as_ref())?;
        match &self.lora {
            Some(lora) => ys + ops::linear_unread(&lora.low(xs)?, &lora.lora_b, None)?,
            None => Ok(ys),
        }
    }
}

impl Lora {
    /// `(.., d)` → `(.., rank)`, scaled where it is narrow.
    fn low(&self, xs: &Tensor) -> Result<Tensor> {
        let dropped = self.dropout.as_ref().map(|dropout| dropout.forward(xs)).transpose()?;
        ops::linear(dropped.as_ref().unwrap_or(xs), &self.lora_a, None)? * self.scale
    }
}
