//! The text backbone (BERT, arXiv 1810.04805), with masks and positions of its caller's choice.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::ops::AttentionMask;
use strefer_nn::{Embedding, LayerNorm};

use super::BertConfig;
use crate::layers::{CrossAttention, Mlp};

/// Who sees whom in a text.
#[derive(Debug, Clone)]
pub enum Sight {
    /// What is not seen is hidden.
    Hidden(AttentionMask),
    /// Added to the scores, `(b, 1, s, s)`.
    Added(Tensor),
}

/// Attention and MLP, each with its norm behind it.
#[derive(Debug, Clone)]
struct BertLayer {
    attention: CrossAttention,
    attention_norm: LayerNorm,
    mlp: Mlp,
    output_norm: LayerNorm,
}

impl BertLayer {
    fn new(cfg: &BertConfig, vb: VarBuilder) -> Result<Self> {
        let (d, eps) = (cfg.hidden_size, cfg.layer_norm_eps);
        let names = ["self.query", "self.key", "self.value", "output.dense"];
        let own = vb.pp("attention");
        Ok(Self {
            attention_norm: LayerNorm::new(d, eps, own.pp("output.LayerNorm"))?,
            attention: CrossAttention::new(d, d, cfg.num_attention_heads, names, own)?,
            output_norm: LayerNorm::new(d, eps, vb.pp("output.LayerNorm"))?,
            mlp: Mlp::gelu(d, cfg.intermediate_size, ["intermediate.dense", "output.dense"], vb)?,
        })
    }

    fn forward(&self, xs: &Tensor, sight: &Sight) -> Result<Tensor> {
        let ys = match sight {
            Sight::Hidden(mask) => self.attention.forward_masked(xs, xs, xs, mask)?,
            Sight::Added(bias) => self.attention.forward_biased(xs, bias)?,
        };
        let xs = (xs + ys)?.apply(&self.attention_norm)?;
        (&xs + xs.apply(&self.mlp)?)?.apply(&self.output_norm)
    }
}

/// The text backbone without its pooling head.
#[derive(Debug, Clone)]
pub struct Bert {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    norm: LayerNorm,
    layers: Vec<BertLayer>,
}

impl Bert {
    /// Weights lie directly below `vb`.
    pub fn new(cfg: &BertConfig, vb: VarBuilder) -> Result<Self> {
        let (d, own) = (cfg.hidden_size, vb.pp("embeddings"));
        let layer = |at: usize| BertLayer::new(cfg, vb.pp("encoder.layer").pp(at));
        Ok(Self {
            word_embeddings: Embedding::new(cfg.vocab_size, d, own.pp("word_embeddings"))?,
            position_embeddings: Embedding::new(
                cfg.max_position_embeddings,
                d,
                own.pp("position_embeddings"),
            )?,
            token_type_embeddings: Embedding::new(cfg.type_vocab_size, d, own.pp("token_type_embeddings"))?,
            norm: LayerNorm::new(d, cfg.layer_norm_eps, own.pp("LayerNorm"))?,
            layers: (0..cfg.num_hidden_layers).map(layer).collect::<Result<_>>()?,
        })
    }

    fn embed(&self, ids: &Tensor, types: &Tensor, positions: &Tensor) -> Result<Tensor> {
        let words = ids.apply(&self.word_embeddings)?;
        let xs = (words + types.apply(&self.token_type_embeddings)?)?;
        (xs + positions.apply(&self.position_embeddings)?)?.apply(&self.norm)
    }

    /// The last layer's states.
    ///
    /// # Shapes
    /// - `ids`, `types`, `positions`: `(b, s)`, u32 → `(b, s, d)`
    pub fn forward(&self, ids: &Tensor, types: &Tensor, positions: &Tensor, sight: &Sight) -> Result<Tensor> {
        let xs = self.embed(ids, types, positions)?;
        self.layers.iter().try_fold(xs, |xs, layer| layer.forward(&xs, sight))
    }

    /// The embedding and the states of every layer, each `(b, s, d)`.
    pub fn hidden_states(
        &self,
        ids: &Tensor,
        types: &Tensor,
        positions: &Tensor,
        sight: &Sight,
    ) -> Result<Vec<Tensor>> {
        let mut states = vec![self.embed(ids, types, positions)?];
        for layer in &self.layers {
            let next = layer.forward(&states[states.len() - 1], sight)?;
            states.push(next);
        }
        Ok(states)
    }
}
