//! Grouped self-attention in either layout.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::ops::{self, AttentionMask, Heads, Rotary};
use strefer_nn::{Linear, linear, linear_no_bias};

use super::{Caches, DecoderConfig, KvCache, Layout};

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

    /// `xs`: `(b, s, d)` → `(b, s, d)`
    pub(super) fn forward(
        &self,
        xs: &Tensor,
        rotary: &Rotary,
        mask: &AttentionMask,
        caches: Caches<'_, '_>,
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
        let ys = match caches {
            Caches::None => ops::multi_head_attention(&q, &k, &v, self.heads, Some(rotary), mask)?,
            Caches::Shared(cache) => {
                let [q, k, v] = self.rotated(&q, &k, &v, rotary)?;
                joined(&self.attend(cache, &q, &k, &v, mask)?)?
            }
            Caches::EachRow(caches) => {
                let [q, k, v] = self.rotated(&q, &k, &v, rotary)?;
                let of = |xs: &Tensor, row: usize| xs.narrow(0, row, 1)?.contiguous();
                let rows = caches.iter_mut().enumerate().map(|(row, cache)| {
                    joined(&self.attend(cache, &of(&q, row)?, &of(&k, row)?, &of(&v, row)?, mask)?)
                });
                Tensor::cat(&rows.collect::<Result<Vec<Tensor>>>()?, 0)?
            }
        }; // (b, s, nh * hd)
        self.o_proj.forward(&ys)
    }

    /// Heads apart, queries and keys rotated, without their history: three times `(b, nh|nkv, s, hd)`.
    fn rotated(&self, q: &Tensor, k: &Tensor, v: &Tensor, rotary: &Rotary) -> Result<[Tensor; 3]> {
        let (b, s, _) = q.dims3()?;
        let split = |xs: &Tensor, n: usize| xs.reshape((b, s, n, self.head_dim))?.transpose(1, 2);
        let rotate = |xs: Tensor| ops::rotary(&xs, &rotary.cos, &rotary.sin);
        let q = rotate(split(q, self.heads.query)?)?.detach();
        Ok([q, rotate(split(k, self.heads.key)?)?, split(v, self.heads.key)?])
    }

    /// Adds keys and values to the cache and attends to all of it: `(b, nh, s, hd)`.
    fn attend(
        &self,
        cache: &mut KvCache,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        mask: &AttentionMask,
    ) -> Result<Tensor> {
        let (k, v) = cache.append(self.layer, k, v)?;
        ops::attention(q, &k, &v, self.heads.scale, mask)
    }
}

/// `(b, nh, s, hd)` → `(b, s, nh * hd)`
fn joined(ys: &Tensor) -> Result<Tensor> {
    let (b, nh, s, hd) = ys.dims4()?;
    ys.transpose(1, 2)?.reshape((b, s, nh * hd))
}
