//! Perceiver resampler of BLIP-3-Strefer (Flamingo, arXiv 2204.14198): a fixed number of latents asks the patches of
//! each frame, whatever their number.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use serde::{Deserialize, Serialize};
use strefer_nn::ops::{AttentionMask, Heads};
use strefer_nn::{LayerNorm, Linear, linear, linear_no_bias, ops};

use super::feed_forward::FeedForward;
use super::{Gttm, GttmConfig, NORM_EPS};

/// Perceiver resampler, with or without a temporal encoder behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerceiverConfig {
    /// Layers of attention and feed-forward.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Latents, and thereby tokens, of a frame.
    pub latents: usize,
    /// Makes the latents of all frames those of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporal: Option<GttmConfig>,
}

impl PerceiverConfig {
    /// BLIP-3-Strefer: 128 tokens a video, however many frames.
    pub const STREFER: Self =
        Self { layers: 6, heads: 16, head_dim: 96, latents: 128, temporal: Some(GttmConfig::STREFER) };

    pub(super) fn token_count(&self, t: usize) -> usize {
        if self.temporal.is_some() { self.latents } else { t * self.latents }
    }

    pub(super) fn validate(&self, vision_dim: usize) -> std::result::Result<(), String> {
        if [self.layers, self.heads, self.head_dim, self.latents].contains(&0) {
            return Err("connector: layers, heads, head_dim and latents are at least one".to_owned());
        }
        self.temporal.map_or(Ok(()), |temporal| temporal.validate(vision_dim))
    }
}

/// Latents ask the patches and each other.
#[derive(Debug, Clone)]
struct PerceiverAttention {
    norm_media: LayerNorm,
    norm_latents: LayerNorm,
    to_q: Linear,
    to_kv: Linear,
    to_out: Linear,
    heads: Heads,
}

impl PerceiverAttention {
    fn new(cfg: &PerceiverConfig, dim: usize, vb: VarBuilder) -> Result<Self> {
        let inner = cfg.heads * cfg.head_dim;
        let scale = (cfg.head_dim as f64).powf(-0.5);
        Ok(Self {
            norm_media: LayerNorm::new(dim, NORM_EPS, vb.pp("norm_media"))?,
            norm_latents: LayerNorm::new(dim, NORM_EPS, vb.pp("norm_latents"))?,
            to_q: linear_no_bias(dim, inner, vb.pp("to_q"))?,
            to_kv: linear_no_bias(dim, 2 * inner, vb.pp("to_kv"))?,
            to_out: linear_no_bias(inner, dim, vb.pp("to_out"))?,
            heads: Heads { query: cfg.heads, key: cfg.heads, scale },
        })
    }

    /// What is to be added to `latents`.
    ///
    /// # Shapes
    /// - `media`: `(b, n, d)`, `latents`: `(b, l, d)` → `(b, l, d)`
    fn forward(&self, media: &Tensor, latents: &Tensor) -> Result<Tensor> {
        let asking = latents.apply(&self.norm_latents)?;
        let asked = Tensor::cat(&[&media.apply(&self.norm_media)?, &asking], 1)?; // (b, n+l, d)
        let q = asking.apply(&self.to_q)?; // (b, l, nh*hd)
        let kv = asked.apply(&self.to_kv)?.chunk(2, 2)?; // (b, n+l, nh*hd) twice
        let mask = AttentionMask::bidirectional();
        ops::multi_head_attention(&q, &kv[0], &kv[1], self.heads, None, &mask)?.apply(&self.to_out)
    }
}

/// Perceiver resampler, temporal encoder, norm and projection.
#[derive(Debug, Clone)]
pub struct Perceiver {
    latents: Tensor,
    layers: Vec<(PerceiverAttention, FeedForward)>,
    temporal_encoder: Option<Gttm>,
    norm: LayerNorm,
    projection: Linear,
}

impl Perceiver {
    /// Parameters `latents`, `layers.*`, `temporal_encoder.*`, `norm` and `projection` below `vb`.
    pub fn new(cfg: &PerceiverConfig, vision_dim: usize, text_dim: usize, vb: VarBuilder) -> Result<Self> {
        // Latents differ much, so that they ask for different things from the first step on.
        let init = Init::Randn { mean: 0.0, stdev: 1.0 };
        let latents = vb.get_with_hints((cfg.latents, vision_dim), "latents", init)?;
        let layers = (0..cfg.layers)
            .map(|layer| {
                let vb = vb.pp("layers").pp(layer);
                let attention = PerceiverAttention::new(cfg, vision_dim, vb.pp("0"))?;
                Ok((attention, FeedForward::new(vision_dim, vb.pp("1"))?))
            })
            .collect::<Result<_>>()?;
        let temporal_encoder = match &cfg.temporal {
            Some(temporal) => Some(Gttm::new(temporal, cfg.latents, vision_dim, vb.pp("temporal_encoder"))?),
            None => None,
        };
        let norm = LayerNorm::new(vision_dim, NORM_EPS, vb.pp("norm"))?;
        let projection = linear(vision_dim, text_dim, vb.pp("projection"))?;
        Ok(Self { latents, layers, temporal_encoder, norm, projection })
    }

    /// What the latents found in each frame.
    ///
    /// # Shapes
    /// - `feats`: `(b, t, n, dv)` → `(b, t, l, dv)`
    pub fn resample(&self, feats: &Tensor) -> Result<Tensor> {
        let (b, t, n, dv) = feats.dims4()?;
        let l = self.latents.dim(0)?;
        let media = feats.reshape((b * t, n, dv))?;
        let mut latents = self.latents.unsqueeze(0)?.broadcast_as((b * t, l, dv))?.contiguous()?;
        for (attention, feed_forward) in &self.layers {
            latents = ops::sum(&latents, &attention.forward(&media, &latents)?)?;
            latents = ops::sum(&latents, &latents.apply(feed_forward)?)?;
        }
        latents.reshape((b, t, l, dv))
    }

    /// # Shapes
    /// - `feats`: `(b, t, n, dv)`
    /// - returns: `(b, l, d)` with a temporal encoder, `(b, t*l, d)` without
    pub fn forward(&self, feats: &Tensor) -> Result<Tensor> {
        let latents = self.resample(feats)?;
        let tokens = match &self.temporal_encoder {
            Some(encoder) => encoder.forward(&latents)?,
            None => latents.flatten(1, 2)?,
        };
        tokens.apply(&self.norm)?.apply(&self.projection)
    }
}
