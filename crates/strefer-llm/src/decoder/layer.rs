//! A layer: attention and a feed-forward block, each behind a norm.

use candle_core::{Device, Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::ops::{self, AttentionMask, CachedRows, Rotary};
use strefer_nn::{Pass, RmsNorm, moved};

use super::DecoderConfig;
use super::attention::Attention;
use super::mlp::Mlp;

/// A layer of the decoder.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    input_layernorm: RmsNorm,
    pub(super) self_attn: Attention,
    post_attention_layernorm: RmsNorm,
    pub(super) mlp: Mlp,
}

impl Layer {
    pub(super) fn new(cfg: &DecoderConfig, at: usize, vb: VarBuilder) -> Result<Self> {
        let (d, eps) = (cfg.hidden_size, cfg.rms_norm_eps);
        Ok(Self {
            input_layernorm: RmsNorm::new(d, eps, vb.pp("input_layernorm"))?,
            self_attn: Attention::new(cfg, at, vb.pp("self_attn"))?,
            post_attention_layernorm: RmsNorm::new(d, eps, vb.pp("post_attention_layernorm"))?,
            mlp: Mlp::new(cfg, vb.pp("mlp"))?,
        })
    }

    /// `(b, s, d)` → `(b, s, d)`
    pub(super) fn forward(
        &self,
        xs: &Tensor,
        rotary: &Rotary,
        mask: &AttentionMask,
        pass: Pass,
    ) -> Result<Tensor> {
        let flow = Flow { xs: xs.clone(), added: None };
        let (xs, normed) = self.attend(flow, rotary, mask, None)?;
        ops::sum(&xs, &self.mlp.forward(&normed, pass)?)
    }

    /// As [`Layer::forward`] behind caches: what goes past the feed-forward block, and what that adds.
    pub(super) fn step(
        &self,
        flow: Flow,
        rotary: &Rotary,
        mask: &AttentionMask,
        cached: &CachedRows,
    ) -> Result<Flow> {
        let (xs, normed) = self.attend(flow, rotary, mask, Some(cached))?;
        Ok(Flow { xs, added: Some(self.mlp.forward(&normed, Pass::Forward)?) })
    }

    /// What goes past the feed-forward block, and what goes into it: twice `(b, s, d)`.
    fn attend(
        &self,
        flow: Flow,
        rotary: &Rotary,
        mask: &AttentionMask,
        cached: Option<&CachedRows>,
    ) -> Result<(Tensor, Tensor)> {
        let (xs, normed) = flow.normed(&self.input_layernorm)?;
        let ys = self.self_attn.forward(&normed, rotary, mask, cached)?;
        self.post_attention_layernorm.forward_sum(&xs, &ys)
    }
}

/// What goes from layer to layer, `(b, s, d)`, and what is still to be added to it: the next norm does so on its way.
pub(super) struct Flow {
    pub(super) xs: Tensor,
    pub(super) added: Option<Tensor>,
}

impl Flow {
    pub(super) fn normed(self, norm: &RmsNorm) -> Result<(Tensor, Tensor)> {
        match &self.added {
            Some(added) => norm.forward_sum(&self.xs, added),
            None => {
                let normed = norm.forward(&self.xs)?;
                Ok((self.xs, normed))
            }
        }
    }

    pub(super) fn moved(&self, device: &Device) -> Result<Self> {
        let added = self.added.as_ref().map(|added| moved(added, device)).transpose()?;
        Ok(Self { xs: moved(&self.xs, device)?, added })
    }
}
