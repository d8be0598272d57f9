//! A transformer in which tokens look at the image, and the image at the tokens.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::LayerNorm;

use super::MaskDecoderConfig;
use crate::layers::{CrossAttention, Mlp};

fn attention(cfg: &MaskDecoderConfig, downsample: usize, vb: VarBuilder) -> Result<CrossAttention> {
    let d = cfg.hidden_size;
    let names = ["q_proj", "k_proj", "v_proj", "o_proj"];
    CrossAttention::new(d, d / downsample, cfg.num_attention_heads, names, vb)
}

/// One round of looking at each other.
#[derive(Debug, Clone)]
struct TwoWayBlock {
    self_attn: CrossAttention,
    layer_norm1: LayerNorm,
    cross_attn_token_to_image: CrossAttention,
    layer_norm2: LayerNorm,
    mlp: Mlp,
    layer_norm3: LayerNorm,
    layer_norm4: LayerNorm,
    cross_attn_image_to_token: CrossAttention,
    /// The first block's tokens are their own positions.
    first: bool,
}

impl TwoWayBlock {
    fn new(cfg: &MaskDecoderConfig, first: bool, vb: VarBuilder) -> Result<Self> {
        let (d, rate) = (cfg.hidden_size, cfg.attention_downsample_rate);
        let norm = |name: &str| LayerNorm::new(d, 1e-5, vb.pp(name));
        let names = ["proj_in", "proj_out"].map(str::to_owned);
        Ok(Self {
            self_attn: attention(cfg, 1, vb.pp("self_attn"))?,
            layer_norm1: norm("layer_norm1")?,
            cross_attn_token_to_image: attention(cfg, rate, vb.pp("cross_attn_token_to_image"))?,
            layer_norm2: norm("layer_norm2")?,
            mlp: Mlp::relu(&[d, cfg.mlp_dim, d], &names, vb.pp("mlp"))?,
            layer_norm3: norm("layer_norm3")?,
            layer_norm4: norm("layer_norm4")?,
            cross_attn_image_to_token: attention(cfg, rate, vb.pp("cross_attn_image_to_token"))?,
            first,
        })
    }

    fn forward(&self, q: &Tensor, k: &Tensor, q_pos: &Tensor, k_pos: &Tensor) -> Result<(Tensor, Tensor)> {
        let q = if self.first {
            self.self_attn.forward(q, q, q)?
        } else {
            let placed = (q + q_pos)?;
            (q + self.self_attn.forward(&placed, &placed, q)?)?
        };
        let q = q.apply(&self.layer_norm1)?;
        let k_placed = k.broadcast_add(k_pos)?;
        let q = (&q + self.cross_attn_token_to_image.forward(&(&q + q_pos)?, &k_placed, k)?)?;
        let q = q.apply(&self.layer_norm2)?;
        let q = (&q + q.apply(&self.mlp)?)?.apply(&self.layer_norm3)?;
        let k = (k + self.cross_attn_image_to_token.forward(&k_placed, &(&q + q_pos)?, &q)?)?;
        Ok((q, k.apply(&self.layer_norm4)?))
    }
}

/// The transformer of the mask decoder.
#[derive(Debug, Clone)]
pub(super) struct TwoWayTransformer {
    layers: Vec<TwoWayBlock>,
    final_attn_token_to_image: CrossAttention,
    layer_norm_final_attn: LayerNorm,
}

impl TwoWayTransformer {
    pub(super) fn new(cfg: &MaskDecoderConfig, vb: VarBuilder) -> Result<Self> {
        let block = |at: usize| TwoWayBlock::new(cfg, at == 0, vb.pp("layers").pp(at));
        let last = vb.pp("final_attn_token_to_image");
        Ok(Self {
            layers: (0..cfg.num_hidden_layers).map(block).collect::<Result<_>>()?,
            final_attn_token_to_image: attention(cfg, cfg.attention_downsample_rate, last)?,
            layer_norm_final_attn: LayerNorm::new(cfg.hidden_size, 1e-5, vb.pp("layer_norm_final_attn"))?,
        })
    }

    /// Tokens and image after they looked at each other.
    ///
    /// # Shapes
    /// - `tokens`: `(o, n, d)`, `image`: `(o, cells, d)`, `positions`: `(1, cells, d)`
    pub(super) fn forward(
        &self,
        tokens: &Tensor,
        image: &Tensor,
        positions: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let (mut q, mut k) = (tokens.clone(), image.clone());
        for layer in &self.layers {
            (q, k) = layer.forward(&q, &k, tokens, positions)?;
        }
        let k_placed = k.broadcast_add(positions)?;
        let ys = self.final_attn_token_to_image.forward(&(&q + tokens)?, &k_placed, &k)?;
        Ok(((q + ys)?.apply(&self.layer_norm_final_attn)?, k))
    }
}
