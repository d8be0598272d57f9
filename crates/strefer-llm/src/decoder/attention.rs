//! Grouped self-attention in either layout.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::ops::{self, AttentionMask, CachedRows, Heads, Rotary};
use strefer_nn::{Linear, linear, linear_no_bias};

use super::{DecoderConfig, Layout};

#[derive(Debug, Clone)]
enum Projections {
    Split { q_proj: Linear, k_proj: Linear, v_proj: Linear },
    Fused { qkv_proj: Linear },
}

/// Attention of one layer.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    projections: Projections,
    o_proj: Linear,
    heads: Heads,
    head_dim: usize,
    window: Option<usize>,
    layer: usize,
}

/// A projection without bias that may carry an update.
pub(super) fn projection(
    cfg: &DecoderConfig,
    input: usize,
    output: usize,
    bias: bool,
    name: &str,
    vb: &VarBuilder,
) -> Result<Linear> {
    let vb = vb.pp(name);
    let layer =
        if bias { linear(input, output, vb.clone())? } else { linear_no_bias(input, output, vb.clone())? };
    match cfg.lora_of(name) {
        Some(lora) => layer.with_lora(&lora, vb),
        None => Ok(layer),
    }
}

impl Attention {
    pub(super) fn new(cfg: &DecoderConfig, layer: usize, vb: VarBuilder) -> Result<Self> {
        let (d, hd) = (cfg.hidden_size, cfg.head_dim());
        let (nh, nkv) = (cfg.num_attention_heads, cfg.num_key_value_heads);
        let projections = match cfg.layout {
            Layout::Split => Projections::Split {
                q_proj: projection(cfg, d, nh * hd, true, "q_proj", &vb)?,
                k_proj: projection(cfg, d, nkv * hd, true, "k_proj", &vb)?,
                v_proj: projection(cfg, d, nkv * hd, true, "v_proj", &vb)?,
            },
            Layout::Fused => Projections::Fused {
                qkv_proj: projection(cfg, d, (nh + 2 * nkv) * hd, false, "qkv_proj", &vb)?,
            },
        };
        Ok(Self {
            projections,
            o_proj: projection(cfg, nh * hd, d, false, "o_proj", &vb)?,
            heads: Heads { query: nh, key: nkv, scale: 1.0 / (hd as f64).sqrt() },
            head_dim: hd,
            window: cfg.window_of(layer),
            layer,
        })
    }

    /// Its projections by name.
    pub(super) fn projections_mut(&mut self) -> Vec<(&'static str, &mut Linear)> {
        let mut all = match &mut self.projections {
            Projections::Split { q_proj, k_proj, v_proj } => {
                vec![("q_proj", q_proj), ("k_proj", k_proj), ("v_proj", v_proj)]
            }
            Projections::Fused { qkv_proj } => vec![("qkv_proj", qkv_proj)],
        };
        all.push(("o_proj", &mut self.o_proj));
        all
    }

    /// Makes queries, keys and values one product, where they can be.
    pub(super) fn join(&mut self) -> Result<()> {
        if let Projections::Split { q_proj, k_proj, v_proj } = &self.projections
            && let Some(qkv_proj) = Linear::joined(&[q_proj, k_proj, v_proj])?
        {
            self.projections = Projections::Fused { qkv_proj };
        }
        Ok(())
    }

    /// `xs`: `(b, s, d)` → `(b, s, d)`. With caches, these get the new keys and values.
    pub(super) fn forward(
        &self,
        xs: &Tensor,
        rotary: &Rotary,
        mask: &AttentionMask,
        cached: Option<&CachedRows>,
    ) -> Result<Tensor> {
        let (nh, nkv, hd) = (self.heads.query, self.heads.key, self.head_dim);
        let (q, k, v) = match &self.projections {
            Projections::Split { q_proj, k_proj, v_proj } => {
                (xs.apply(q_proj)?, xs.apply(k_proj)?, xs.apply(v_proj)?)
            }
            Projections::Fused { qkv_proj } => {
                let qkv = xs.apply(qkv_proj)?;
                let part = |start: usize, n: usize| qkv.narrow(2, start * hd, n * hd);
                (part(0, nh)?, part(nh, nkv)?, part(nh + nkv, nkv)?)
            }
        };
        let windowed;
        let mask = if self.window == mask.window() {
            mask
        } else {
            windowed = mask.clone().with_window(self.window);
            &windowed
        };
        let ys = match cached {
            None => ops::multi_head_attention(&q, &k, &v, self.heads, Some(rotary), mask)?,
            Some(rows) => rows.attend(self.layer, [&q, &k, &v], self.heads, rotary, mask)?,
        }; // (b, s, nh * hd)
        self.o_proj.forward(&ys)
    }
}
