//! The text tower of SigLIP: tokens of a short text become one vector, which lies where images that fit it lie.

use candle_core::{D, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use strefer_nn::{Embedding, LayerNorm, Linear, linear};

use super::{Activation, EncoderLayer, SiglipConfig};

/// Configuration with the published keys; what is absent has the values of transformers, which published files leave out.
/// Unknown keys are left alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SiglipTextConfig {
    /// Number of tokens that there are.
    pub vocab_size: usize,
    /// Width of the states.
    pub hidden_size: usize,
    /// Inner width of the MLPs.
    pub intermediate_size: usize,
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Tokens of a text; shorter ones are filled up.
    pub max_position_embeddings: usize,
    /// Non-linearity of the MLPs.
    pub hidden_act: Activation,
    /// Keeps layer norms finite.
    pub layer_norm_eps: f64,
    /// Width of the result, where it is not that of the states.
    pub projection_size: Option<usize>,
    /// What fills up a text.
    pub pad_token_id: u32,
}

impl Default for SiglipTextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 32_000,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 64,
            hidden_act: Activation::GeluTanh,
            layer_norm_eps: 1e-6,
            projection_size: None,
            pad_token_id: 1,
        }
    }
}

impl SiglipTextConfig {
    /// The same sizes for the layers, which both towers share.
    fn layers(&self) -> SiglipConfig {
        SiglipConfig {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            image_size: 1,
            patch_size: 1,
            num_channels: 1,
            hidden_act: self.hidden_act,
            layer_norm_eps: self.layer_norm_eps,
        }
    }
}

/// SigLIP's text tower.
#[derive(Debug, Clone)]
pub struct SiglipText {
    token_embedding: Embedding,
    position_embedding: Embedding,
    layers: Vec<EncoderLayer>,
    final_layer_norm: LayerNorm,
    head: Linear,
    tokens: usize,
}

impl SiglipText {
    /// Weights lie directly below `vb`, which published checkpoints call `text_model`.
    pub fn new(cfg: &SiglipTextConfig, vb: VarBuilder) -> Result<Self> {
        let layers = cfg.layers();
        layers.validate()?;
        let (d, own) = (cfg.hidden_size, vb.pp("embeddings"));
        let layer = |at: usize| EncoderLayer::new(&layers, vb.pp("encoder.layers").pp(at));
        let positions = own.pp("position_embedding");
        Ok(Self {
            token_embedding: Embedding::new(cfg.vocab_size, d, own.pp("token_embedding"))?,
            position_embedding: Embedding::new(cfg.max_position_embeddings, d, positions)?,
            layers: (0..cfg.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            final_layer_norm: LayerNorm::new(d, cfg.layer_norm_eps, vb.pp("final_layer_norm"))?,
            head: linear(d, cfg.projection_size.unwrap_or(d), vb.pp("head"))?,
            tokens: cfg.max_position_embeddings,
        })
    }

    /// States of all tokens after the final norm. Every token sees every other, those that fill up a text too.
    ///
    /// # Shapes
    /// - `ids`: `(b, s)` → `(b, s, d)`
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let (_b, s) = ids.dims2()?;
        if s == 0 || s > self.tokens {
            bail!("siglip: a text of {s} tokens, there are positions for {}", self.tokens);
        }
        let positions = self.position_embedding.weight().narrow(0, 0, s)?;
        let xs = self.token_embedding.forward(ids)?.broadcast_add(&positions)?;
        self.layers.iter().try_fold(xs, |xs, layer| layer.forward(&xs))?.apply(&self.final_layer_norm)
    }

    /// One vector per text, made of the last token's state: `(b, s, d)` → `(b, o)`.
    pub fn pool(&self, states: &Tensor) -> Result<Tensor> {
        let last = states.dim(D::Minus2)? - 1;
        states.narrow(1, last, 1)?.squeeze(1)?.contiguous()?.apply(&self.head)
    }
}
