//! Grouped Token Turing Machine of BLIP-3-Strefer (Token Turing Machines, arXiv 2211.09119): frames are read one after
//! the other into a memory of a few tokens for each token of a frame.
//!
//! The reference's checkpoints also hold `ttm_unit.read_layer`, which is never used, and the constant `pos_emb.inv_freq`.
//! Neither is a parameter here.

use candle_core::{Device, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use serde::{Deserialize, Serialize};
use strefer_nn::ops::{AttentionMask, Heads};
use strefer_nn::{LayerNorm, Linear, linear_no_bias, ops};

use super::NORM_EPS;
use super::feed_forward::FeedForward;

/// Grouped Token Turing Machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GttmConfig {
    /// Memory tokens of each token of a frame.
    pub memory: usize,
    /// Layers of attention and feed-forward in one step.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
}

impl GttmConfig {
    /// BLIP-3-Strefer.
    pub const STREFER: Self = Self { memory: 4, layers: 4, heads: 8 };

    pub(super) fn validate(&self, dim: usize) -> std::result::Result<(), String> {
        if self.memory == 0 || self.heads == 0 || !dim.is_multiple_of(self.heads) {
            return Err(format!("connector.temporal: no memory, or {} heads of width {dim}", self.heads));
        }
        Ok(())
    }
}

/// Sine and cosine in turn, one pair a frequency: `(t, d)`.
fn time_positions(t: usize, d: usize, device: &Device) -> Result<Tensor> {
    let value = |time: usize, column: usize| {
        let angle = time as f64 * 1e4f64.powf(-((column / 2 * 2) as f64) / d as f64);
        if column.is_multiple_of(2) { angle.sin() as f32 } else { angle.cos() as f32 }
    };
    let values = (0..t).flat_map(|time| (0..d).map(move |column| value(time, column))).collect();
    Tensor::from_vec(values, (t, d), device)
}

/// The tokens of one group see each other; what comes back is not mixed across heads.
#[derive(Debug, Clone)]
struct GroupAttention {
    norm: LayerNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    heads: Heads,
}

impl GroupAttention {
    fn new(heads: usize, dim: usize, vb: VarBuilder) -> Result<Self> {
        if heads == 0 || !dim.is_multiple_of(heads) {
            bail!("{heads} heads of width {dim}");
        }
        let scale = ((dim / heads) as f64).powf(-0.5);
        Ok(Self {
            norm: LayerNorm::new(dim, NORM_EPS, vb.pp("norm"))?,
            to_q: linear_no_bias(dim, dim, vb.pp("to_q"))?,
            to_k: linear_no_bias(dim, dim, vb.pp("to_k"))?,
            to_v: linear_no_bias(dim, dim, vb.pp("to_v"))?,
            heads: Heads { query: heads, key: heads, scale },
        })
    }
}

impl Module for GroupAttention {
    /// `xs`: `(groups, s, d)` → `(groups, s, d)`, what is to be added to `xs`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let xs = xs.apply(&self.norm)?;
        let (q, k, v) = (xs.apply(&self.to_q)?, xs.apply(&self.to_k)?, xs.apply(&self.to_v)?);
        ops::multi_head_attention(&q, &k, &v, self.heads, None, &AttentionMask::bidirectional())
    }
}

/// Learns which tokens to keep, and in which shares (TokenLearner).
#[derive(Debug, Clone)]
struct TokenLearner {
    norm: LayerNorm,
    mlp_norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl TokenLearner {
    /// Parameters `norm` and `mlp.{0,1,3}` below `vb`.
    fn new(kept: usize, dim: usize, vb: VarBuilder) -> Result<Self> {
        let mlp = vb.pp("mlp");
        Ok(Self {
            norm: LayerNorm::new(dim, NORM_EPS, vb.pp("norm"))?,
            mlp_norm: LayerNorm::new(dim, NORM_EPS, mlp.pp("0"))?,
            fc1: linear_no_bias(dim, 2 * kept, mlp.pp("1"))?,
            fc2: linear_no_bias(2 * kept, kept, mlp.pp("3"))?,
        })
    }
}

impl Module for TokenLearner {
    /// `xs`: `(groups, s, d)` → `(groups, kept, d)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let hidden = xs.apply(&self.norm)?.apply(&self.mlp_norm)?.apply(&self.fc1)?;
        let scores = ops::gelu_erf(&hidden)?.apply(&self.fc2)?; // (groups, s, kept)
        let shares = ops::softmax_last(&scores.transpose(1, 2)?.contiguous()?)?; // (groups, kept, s)
        shares.matmul(xs)
    }
}

/// The machine: an initial memory, and the step that rewrites it.
#[derive(Debug, Clone)]
pub struct Gttm {
    initial_memory: Tensor,
    process_layers: Vec<(GroupAttention, FeedForward)>,
    write_layer: TokenLearner,
}

impl Gttm {
    /// A machine of `n` groups. Parameters `initial_memory` and `ttm_unit.{process_layers,write_layer}` below `vb`.
    pub fn new(cfg: &GttmConfig, n: usize, dim: usize, vb: VarBuilder) -> Result<Self> {
        let init = Init::Randn { mean: 0.0, stdev: 1.0 };
        let initial_memory = vb.get_with_hints((n, cfg.memory, dim), "initial_memory", init)?;
        let unit = vb.pp("ttm_unit");
        let process_layers = (0..cfg.layers)
            .map(|layer| {
                let vb = unit.pp("process_layers").pp(layer);
                let attention = GroupAttention::new(cfg.heads, dim, vb.pp("0"))?;
                Ok((attention, FeedForward::new(dim, vb.pp("1"))?))
            })
            .collect::<Result<_>>()?;
        let write_layer = TokenLearner::new(cfg.memory, dim, unit.pp("write_layer"))?;
        Ok(Self { initial_memory, process_layers, write_layer })
    }

    /// The memory after one more token of each group.
    ///
    /// # Shapes
    /// - `memory`: `(groups, memory, d)`, `input`: `(groups, 1, d)` → `(groups, memory, d)`
    fn step(&self, memory: &Tensor, input: &Tensor) -> Result<Tensor> {
        let mut tokens = Tensor::cat(&[memory, input], 1)?; // (groups, memory+1, d)
        for (attention, feed_forward) in &self.process_layers {
            tokens = ops::sum(&tokens, &tokens.apply(attention)?)?;
            tokens = ops::sum(&tokens, &tokens.apply(feed_forward)?)?;
        }
        // The new memory is chosen among the old one and what became of it.
        Tensor::cat(&[memory, &tokens], 1)?.apply(&self.write_layer)
    }

    /// The mean memory after all frames.
    ///
    /// # Shapes
    /// - `xs`: `(b, t, n, d)`
    /// - returns: `(b, n, d)`
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (b, t, n, d) = xs.dims4()?;
        let (groups, kept, _d) = self.initial_memory.dims3()?;
        if n != groups {
            bail!("{n} tokens a frame, the memory is for {groups}");
        }
        let positions = time_positions(t, d, xs.device())?.to_dtype(xs.dtype())?;
        let xs = ops::once(&xs.broadcast_add(&positions.reshape((1, t, 1, d))?)?)?;
        let initial = self.initial_memory.unsqueeze(0)?.broadcast_as((b, n, kept, d))?;
        let mut memory = initial.contiguous()?.reshape((b * n, kept, d))?;
        for frame in 0..t {
            let input = xs.narrow(1, frame, 1)?.contiguous()?.reshape((b * n, 1, d))?;
            memory = ops::once(&self.step(&memory, &input)?)?;
        }
        memory.mean(1)?.reshape((b, n, d))
    }
}
