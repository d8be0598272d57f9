//! The top map of a frame looks at what is remembered of others.

use candle_core::{DType, Device, Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::ops::{self, Heads};
use strefer_nn::{LayerNorm, Linear, linear};

use super::Sam2Config;
use crate::layers::{Mlp, attend};

/// Weight of the positions that are added to the map.
const POSITION_SHARE: f64 = 0.1;

/// Angles by which the cells of the map are turned: half the pairs by the column, half by the row.
#[derive(Debug, Clone)]
pub(super) struct AxialRotary {
    /// `(1, cells, hd/2)`
    cos: Tensor,
    sin: Tensor,
}

impl AxialRotary {
    pub(super) fn new(grid: usize, hd: usize, theta: f64, dtype: DType, dev: &Device) -> Result<Self> {
        let frequencies: Vec<f32> =
            (0..hd / 4).map(|at| (1.0 / theta.powf((4 * at) as f64 / hd as f64)) as f32).collect();
        let cells = (0..grid * grid).map(|cell| ((cell % grid) as f32, (cell / grid) as f32));
        let mut angles = Vec::with_capacity(grid * grid * hd / 2);
        for (x, y) in cells {
            angles.extend(frequencies.iter().map(|f| x * f));
            angles.extend(frequencies.iter().map(|f| y * f));
        }
        let angles = Tensor::from_vec(angles, (1, grid * grid, hd / 4 * 2), dev)?;
        Ok(Self { cos: angles.cos()?.to_dtype(dtype)?, sin: angles.sin()?.to_dtype(dtype)? })
    }

    /// The tables for `frames` maps one after the other, and `still` tokens that are not turned.
    fn over(&self, frames: usize, still: usize) -> Result<(Tensor, Tensor)> {
        let half = self.cos.dim(2)?;
        let rest = |value: f64| -> Result<Tensor> {
            (Tensor::zeros((1, still, half), self.cos.dtype(), self.cos.device())? + value)?.contiguous()
        };
        let table = |table: &Tensor, value: f64| -> Result<Tensor> {
            let mut parts = vec![table.clone(); frames];
            // A card has no tensors without values.
            if still > 0 {
                parts.push(rest(value)?);
            }
            Tensor::cat(&parts, 1)
        };
        Ok((table(&self.cos, 1.0)?, table(&self.sin, 0.0)?))
    }
}

/// The rows of a projection so ordered that neighbours, which the published weights turn as a pair, lie half a head apart.
fn halves(layer: &Linear, heads: usize) -> Result<Linear> {
    let (inner, _d) = layer.weight().dims2()?;
    let hd = inner / heads;
    let row =
        |at: usize| at / hd * hd + if at % hd < hd / 2 { at % hd * 2 } else { (at % hd - hd / 2) * 2 + 1 };
    let order = Tensor::from_iter((0..inner).map(|at| row(at) as u32), layer.weight().device())?;
    let bias = layer.bias().map(|bias| bias.index_select(&order, 0)).transpose()?;
    Ok(Linear::new(layer.weight().index_select(&order, 0)?, bias))
}

/// Attention between cells that are turned by their places.
#[derive(Debug, Clone)]
struct RotaryAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    heads: Heads,
}

impl RotaryAttention {
    fn new(cfg: &Sam2Config, keys: usize, vb: VarBuilder) -> Result<Self> {
        let d = cfg.memory_attention_hidden_size;
        let inner = d / cfg.memory_attention_downsample_rate;
        let heads = cfg.memory_attention_num_attention_heads;
        let scale = 1.0 / ((inner / heads) as f64).sqrt();
        Ok(Self {
            q_proj: halves(&linear(d, inner, vb.pp("q_proj"))?, heads)?,
            k_proj: halves(&linear(keys, inner, vb.pp("k_proj"))?, heads)?,
            v_proj: linear(keys, inner, vb.pp("v_proj"))?,
            o_proj: linear(inner, d, vb.pp("o_proj"))?,
            heads: Heads { query: heads, key: heads, scale },
        })
    }

    fn turn(&self, xs: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        let (b, s, inner) = xs.dims3()?;
        let n = self.heads.query;
        let split = xs.reshape((b, s, n, inner / n))?.transpose(1, 2)?;
        ops::rotary(&split.contiguous()?, cos, sin)?.transpose(1, 2)?.contiguous()?.reshape((b, s, inner))
    }

    /// # Shapes
    /// - `q`: `(b, cells, d)`, `k`, `v`: `(b, t, keys)`
    /// - `tables`: angles of the `t` keys
    fn forward(
        &self,
        (q, k, v): (&Tensor, &Tensor, &Tensor),
        rotary: &AxialRotary,
        tables: (&Tensor, &Tensor),
    ) -> Result<Tensor> {
        let q = self.turn(&q.apply(&self.q_proj)?, &rotary.cos, &rotary.sin)?;
        let k = self.turn(&k.apply(&self.k_proj)?, tables.0, tables.1)?;
        attend(&q, &k, &v.apply(&self.v_proj)?, self.heads)?.apply(&self.o_proj)
    }
}

/// The map looks at itself, then at memory, and an MLP follows.
#[derive(Debug, Clone)]
struct MemoryAttentionLayer {
    layer_norm1: LayerNorm,
    self_attn: RotaryAttention,
    layer_norm2: LayerNorm,
    cross_attn_image: RotaryAttention,
    layer_norm3: LayerNorm,
    mlp: Mlp,
}

impl MemoryAttentionLayer {
    fn new(cfg: &Sam2Config, vb: VarBuilder) -> Result<Self> {
        let d = cfg.memory_attention_hidden_size;
        let inner = cfg.memory_attention_feed_forward_hidden_size;
        let names = ["linear1", "linear2"].map(str::to_owned);
        let norm = |name: &str| LayerNorm::new(d, 1e-5, vb.pp(name));
        let memory = cfg.memory_encoder_output_channels;
        Ok(Self {
            layer_norm1: norm("layer_norm1")?,
            self_attn: RotaryAttention::new(cfg, d, vb.pp("self_attn"))?,
            layer_norm2: norm("layer_norm2")?,
            cross_attn_image: RotaryAttention::new(cfg, memory, vb.pp("cross_attn_image"))?,
            layer_norm3: norm("layer_norm3")?,
            mlp: Mlp::relu(&[d, inner, d], &names, vb.clone())?,
        })
    }
}

/// What a map looks at: memories of frames and then object pointers.
#[derive(Debug, Clone)]
pub struct Memory {
    /// `(1, t, m)`
    pub tokens: Tensor,
    /// Where and when they belong, `(1, t, m)`
    pub positions: Tensor,
    /// How many of them, at the end, are parts of object pointers.
    pub pointers: usize,
}

/// Memory attention.
#[derive(Debug, Clone)]
pub(super) struct MemoryAttention {
    layers: Vec<MemoryAttentionLayer>,
    layer_norm: LayerNorm,
    rotary: AxialRotary,
}

impl MemoryAttention {
    pub(super) fn new(cfg: &Sam2Config, vb: VarBuilder) -> Result<Self> {
        let d = cfg.memory_attention_hidden_size;
        let hd = d / cfg.memory_attention_downsample_rate / cfg.memory_attention_num_attention_heads;
        let layer = |at: usize| MemoryAttentionLayer::new(cfg, vb.pp("layers").pp(at));
        Ok(Self {
            layers: (0..cfg.memory_attention_num_layers).map(layer).collect::<Result<_>>()?,
            layer_norm: LayerNorm::new(d, 1e-5, vb.pp("layer_norm"))?,
            rotary: AxialRotary::new(cfg.grid(), hd, cfg.rope_theta(), vb.dtype(), vb.device())?,
        })
    }

    /// # Shapes
    /// - `xs`, `positions`: `(1, cells, d)` → `(1, cells, d)`
    pub(super) fn forward(&self, xs: &Tensor, positions: &Tensor, memory: &Memory) -> Result<Tensor> {
        let (_, cells, _) = xs.dims3()?;
        let frames = (memory.tokens.dim(1)? - memory.pointers) / cells;
        let (cos, sin) = self.rotary.over(frames, memory.pointers)?;
        let keys = (&memory.tokens + &memory.positions)?;
        let own = (&self.rotary.cos, &self.rotary.sin);
        let mut xs = (xs + (positions * POSITION_SHARE)?)?;
        for layer in &self.layers {
            let normed = xs.apply(&layer.layer_norm1)?;
            let inputs = (&normed, &normed, &normed);
            xs = (xs + layer.self_attn.forward(inputs, &self.rotary, own)?)?;
            let normed = xs.apply(&layer.layer_norm2)?;
            let inputs = (&normed, &keys, &memory.tokens);
            xs = (xs + layer.cross_attn_image.forward(inputs, &self.rotary, (&cos, &sin))?)?;
            xs = (&xs + xs.apply(&layer.layer_norm3)?.apply(&layer.mlp)?)?;
        }
        self.layer_norm.forward(&xs)
    }
}
