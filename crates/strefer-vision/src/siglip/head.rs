//! Pools the patches of an image into one vector.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::ops::{self, AttentionMask, Heads};
use strefer_nn::{LayerNorm, Linear, linear};

use super::SiglipConfig;
use super::encoder::{Mlp, heads};

/// A learned query attends to all patches; an MLP follows.
#[derive(Debug, Clone)]
pub(super) struct PoolingHead {
    probe: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    out_proj: Linear,
    layernorm: LayerNorm,
    mlp: Mlp,
    heads: Heads,
}

impl PoolingHead {
    pub(super) fn new(cfg: &SiglipConfig, vb: VarBuilder) -> Result<Self> {
        let d = cfg.hidden_size;
        let attention = vb.pp("attention");
        let spread = Init::Randn { mean: 0.0, stdev: 1.0 / (d as f64).sqrt() };
        let in_weight = attention.get_with_hints((3 * d, d), "in_proj_weight", spread)?;
        let in_bias = attention.get_with_hints(3 * d, "in_proj_bias", Init::Const(0.))?;
        let part = |at: usize| -> Result<Linear> {
            Ok(Linear::new(in_weight.narrow(0, at * d, d)?, Some(in_bias.narrow(0, at * d, d)?)))
        };
        Ok(Self {
            probe: vb.get_with_hints((1, 1, d), "probe", spread)?,
            query: part(0)?,
            key: part(1)?,
            value: part(2)?,
            out_proj: linear(d, d, attention.pp("out_proj"))?,
            layernorm: LayerNorm::new(d, cfg.layer_norm_eps, vb.pp("layernorm"))?,
            mlp: Mlp::new(cfg, vb.pp("mlp"))?,
            heads: heads(cfg),
        })
    }
}

impl Module for PoolingHead {
    /// `(b, n, d)` → `(b, d)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (b, _n, d) = xs.dims3()?;
        let query = self.probe.broadcast_as((b, 1, d))?.contiguous()?.apply(&self.query)?;
        let (key, value) = (xs.apply(&self.key)?, xs.apply(&self.value)?);
        let mask = AttentionMask::bidirectional();
        let ys = ops::multi_head_attention(&query, &key, &value, self.heads, None, &mask)?;
        let ys = ys.apply(&self.out_proj)?; // (b, 1, d)
        (&ys + ys.apply(&self.layernorm)?.apply(&self.mlp)?)?.squeeze(1)
    }
}
