//! The transformer layers.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::ops::{self, AttentionMask, Gelu, Heads};
use strefer_nn::{LayerNorm, Linear, Pass, linear};

use super::{Activation, SiglipConfig};

/// The slope inside a quick GELU.
const QUICK: f64 = 1.702;

/// Every patch attends to every patch.
#[derive(Debug, Clone)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    heads: Heads,
}

/// Equal query and key heads for width `d`.
pub(super) fn heads(cfg: &SiglipConfig) -> Heads {
    let n = cfg.num_attention_heads;
    Heads { query: n, key: n, scale: 1.0 / ((cfg.hidden_size / n) as f64).sqrt() }
}

impl Attention {
    fn new(cfg: &SiglipConfig, vb: VarBuilder) -> Result<Self> {
        let d = cfg.hidden_size;
        Ok(Self {
            q_proj: linear(d, d, vb.pp("q_proj"))?,
            k_proj: linear(d, d, vb.pp("k_proj"))?,
            v_proj: linear(d, d, vb.pp("v_proj"))?,
            out_proj: linear(d, d, vb.pp("out_proj"))?,
            heads: heads(cfg),
        })
    }
}

impl Module for Attention {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (q, k, v) = (xs.apply(&self.q_proj)?, xs.apply(&self.k_proj)?, xs.apply(&self.v_proj)?);
        let mask = AttentionMask::bidirectional();
        ops::multi_head_attention(&q, &k, &v, self.heads, None, &mask)?.apply(&self.out_proj)
    }
}

/// Two linear layers around a GELU.
#[derive(Debug, Clone)]
pub(super) struct Mlp {
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
}

impl Mlp {
    pub(super) fn new(cfg: &SiglipConfig, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            fc1: linear(cfg.hidden_size, cfg.intermediate_size, vb.pp("fc1"))?,
            fc2: linear(cfg.intermediate_size, cfg.hidden_size, vb.pp("fc2"))?,
            activation: cfg.hidden_act,
        })
    }
}

impl Mlp {
    fn forward_in(&self, xs: &Tensor, pass: Pass) -> Result<Tensor> {
        let xs = match self.activation {
            Activation::GeluTanh => self.fc1.forward_gelu_as(Gelu::Tanh, xs)?,
            Activation::GeluErf => self.fc1.forward_gelu(xs)?,
            Activation::QuickGelu => (ops::silu(&(xs.apply(&self.fc1)? * QUICK)?)? / QUICK)?,
        };
        self.fc2.forward_last(&xs, pass)
    }
}

impl Module for Mlp {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.forward_in(xs, Pass::Forward)
    }
}

/// Attention and MLP, each on normed states and added to what came in.
#[derive(Debug, Clone)]
pub(crate) struct EncoderLayer {
    layer_norm1: LayerNorm,
    self_attn: Attention,
    layer_norm2: LayerNorm,
    mlp: Mlp,
}

impl EncoderLayer {
    pub(crate) fn new(cfg: &SiglipConfig, vb: VarBuilder) -> Result<Self> {
        let (d, eps) = (cfg.hidden_size, cfg.layer_norm_eps);
        Ok(Self {
            layer_norm1: LayerNorm::new(d, eps, vb.pp("layer_norm1"))?,
            self_attn: Attention::new(cfg, vb.pp("self_attn"))?,
            layer_norm2: LayerNorm::new(d, eps, vb.pp("layer_norm2"))?,
            mlp: Mlp::new(cfg, vb.pp("mlp"))?,
        })
    }
}

impl EncoderLayer {
    /// The layer in a pass of those that run again in the backward: `(b, n, d)` → `(b, n, d)`
    pub(crate) fn forward_in(&self, xs: &Tensor, pass: Pass) -> Result<Tensor> {
        let xs = ops::sum(xs, &xs.apply(&self.layer_norm1)?.apply(&self.self_attn)?)?;
        ops::sum(&xs, &self.mlp.forward_in(&xs.apply(&self.layer_norm2)?, pass)?)
    }
}

impl Module for EncoderLayer {
    /// `(b, n, d)` → `(b, n, d)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.forward_in(xs, Pass::Forward)
    }
}
