//! The image backbone (Swin, arXiv 2103.14030): attention inside windows that are shifted from block to block.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::ops::Heads;
use strefer_nn::{LayerNorm, Linear, linear, linear_no_bias};

use super::SwinConfig;
use crate::layers::{Mlp, PatchConv, Windows, attend_with};

/// Added to scores between cells that are neighbours only because the map was shifted round its edge.
const APART: f32 = -100.0;

/// Attention inside one window, with a learned bias for every pair of places.
#[derive(Debug, Clone)]
struct WindowAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    dense: Linear,
    /// `(1, nh, side², side²)`
    bias: Tensor,
    heads: Heads,
}

/// The bias of each pair of places in a window out of that of each distance: `((2·side - 1)², nh)` → `(1, nh, n, n)`.
fn pair_bias(table: &Tensor, side: usize) -> Result<Tensor> {
    let n = side * side;
    let places = || (0..n).map(|at| (at / side, at % side));
    let distance = |a: usize, b: usize| a + side - 1 - b;
    let index = places().flat_map(|(y, x)| {
        places().map(move |(other_y, other_x)| {
            (distance(y, other_y) * (2 * side - 1) + distance(x, other_x)) as u32
        })
    });
    let index = Tensor::from_iter(index, table.device())?;
    table.index_select(&index, 0)?.t()?.contiguous()?.reshape((1, (), n, n))
}

impl WindowAttention {
    fn new(d: usize, heads: usize, side: usize, vb: VarBuilder) -> Result<Self> {
        let own = vb.pp("self");
        let small = Init::Randn { mean: 0.0, stdev: 0.02 };
        let distances = (2 * side - 1) * (2 * side - 1);
        let table = own.get_with_hints((distances, heads), "relative_position_bias_table", small)?;
        Ok(Self {
            query: linear(d, d, own.pp("query"))?,
            key: linear(d, d, own.pp("key"))?,
            value: linear(d, d, own.pp("value"))?,
            dense: linear(d, d, vb.pp("output.dense"))?,
            bias: pair_bias(&table, side)?,
            heads: Heads { query: heads, key: heads, scale: 1.0 / ((d / heads) as f64).sqrt() },
        })
    }

    /// # Shapes
    /// - `xs`: `(b*windows, n, d)`
    /// - `apart`: `(windows, 1, n, n)`, added to the scores
    fn forward(&self, xs: &Tensor, apart: Option<&Tensor>) -> Result<Tensor> {
        let (q, k, v) = (xs.apply(&self.query)?, xs.apply(&self.key)?, xs.apply(&self.value)?);
        let ys = attend_with(&q, &k, &v, self.heads, |scores| {
            let Some(apart) = apart else { return scores.broadcast_add(&self.bias) };
            let (all, heads, n, _) = scores.dims4()?;
            let windows = apart.dim(0)?;
            let bias = self.bias.broadcast_add(apart)?; // (windows, nh, n, n)
            let scores = scores.reshape((all / windows, windows, heads, n, n))?;
            scores.broadcast_add(&bias.unsqueeze(0)?)?.reshape((all, heads, n, n))
        })?;
        ys.apply(&self.dense)
    }
}

/// Attention in windows and an MLP.
#[derive(Debug, Clone)]
struct SwinBlock {
    layernorm_before: LayerNorm,
    attention: WindowAttention,
    layernorm_after: LayerNorm,
    mlp: Mlp,
    side: usize,
    shift: usize,
}

/// For a map in windows, shifted round its edges: which pairs of a window's places lie apart. `(windows, 1, n, n)`.
fn apart(windows: Windows, side: usize, shift: usize, like: &Tensor) -> Result<Tensor> {
    let (rows, columns) = windows.grid();
    let strip = |at: usize, size: usize| match at {
        at if at < size - side => 0,
        at if at < size - shift => 1,
        _ => 2,
    };
    let region = |row: usize, column: usize| 3 * strip(row, rows * side) + strip(column, columns * side);
    let n = side * side;
    let mut values = Vec::with_capacity(rows * columns * n * n);
    for window in 0..rows * columns {
        let (top, left) = (window / columns * side, window % columns * side);
        let regions: Vec<usize> = (0..n).map(|at| region(top + at / side, left + at % side)).collect();
        for own in &regions {
            values.extend(regions.iter().map(|other| if own == other { 0.0 } else { APART }));
        }
    }
    Tensor::from_vec(values, (rows * columns, 1, n, n), like.device())?.to_dtype(like.dtype())
}

impl SwinBlock {
    fn new(cfg: &SwinConfig, stage: usize, shifted: bool, vb: VarBuilder) -> Result<Self> {
        let (d, side) = (cfg.width(stage), cfg.window_size);
        let inner = (d as f64 * cfg.mlp_ratio) as usize;
        Ok(Self {
            layernorm_before: LayerNorm::new(d, cfg.layer_norm_eps, vb.pp("layernorm_before"))?,
            attention: WindowAttention::new(d, cfg.num_heads[stage], side, vb.pp("attention"))?,
            layernorm_after: LayerNorm::new(d, cfg.layer_norm_eps, vb.pp("layernorm_after"))?,
            mlp: Mlp::gelu(d, inner, ["intermediate.dense", "output.dense"], vb)?,
            side,
            shift: if shifted { side / 2 } else { 0 },
        })
    }
}

impl Module for SwinBlock {
    /// `(b, h, w, d)` → `(b, h, w, d)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (_b, h, w, d) = xs.dims4()?;
        let (side, shift) = (self.side, self.shift as i32);
        let windows = Windows::new(side, h, w);
        let normed = windows.pad(&xs.apply(&self.layernorm_before)?)?;
        let whole = windows.filled();
        let (normed, apart) = if shift > 0 {
            let moved = normed.roll(-shift, 1)?.roll(-shift, 2)?;
            (moved, Some(apart(whole, side, self.shift, xs)?))
        } else {
            (normed, None)
        };
        let cut = whole.cut(&normed)?.flatten(1, 2)?;
        let ys = self.attention.forward(&cut, apart.as_ref())?.reshape(((), side, side, d))?;
        let ys = whole.join(&ys)?;
        let ys = if shift > 0 { ys.roll(shift, 1)?.roll(shift, 2)? } else { ys };
        let xs = (xs + ys.narrow(1, 0, h)?.narrow(2, 0, w)?)?;
        &xs + xs.apply(&self.layernorm_after)?.apply(&self.mlp)?
    }
}

/// Every two by two cells become one, twice as wide.
#[derive(Debug, Clone)]
struct PatchMerging {
    norm: LayerNorm,
    reduction: Linear,
}

impl Module for PatchMerging {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (b, h, w, d) = xs.dims4()?;
        let (rows, columns) = (h.div_ceil(2), w.div_ceil(2));
        let xs = xs.pad_with_zeros(1, 0, 2 * rows - h)?.pad_with_zeros(2, 0, 2 * columns - w)?;
        // The left column's two cells first, then the right column's.
        let cells = xs.reshape((b, rows, 2, columns, 2, d))?.permute((0, 1, 3, 4, 2, 5))?;
        cells.reshape((b, rows, columns, 4 * d))?.apply(&self.norm)?.apply(&self.reduction)
    }
}

/// A stage: blocks, and the way to the next stage.
#[derive(Debug, Clone)]
struct Stage {
    blocks: Vec<SwinBlock>,
    downsample: Option<PatchMerging>,
    /// For stages whose map is handed on.
    norm: Option<LayerNorm>,
}

/// The backbone.
#[derive(Debug, Clone)]
pub struct Swin {
    projection: PatchConv,
    norm: LayerNorm,
    stages: Vec<Stage>,
    patch: usize,
}

impl Swin {
    /// Weights lie directly below `vb`.
    pub fn new(cfg: &SwinConfig, vb: VarBuilder) -> Result<Self> {
        let eps = cfg.layer_norm_eps;
        let embeddings = vb.pp("embeddings");
        let stage = |at: usize| -> Result<Stage> {
            let (d, own) = (cfg.width(at), vb.pp("encoder.layers").pp(at));
            let block = |nth: usize| SwinBlock::new(cfg, at, nth % 2 == 1, own.pp("blocks").pp(nth));
            let downsample = if at + 1 < cfg.depths.len() {
                let own = own.pp("downsample");
                let norm = LayerNorm::new(4 * d, eps, own.pp("norm"))?;
                Some(PatchMerging { norm, reduction: linear_no_bias(4 * d, 2 * d, own.pp("reduction"))? })
            } else {
                None
            };
            let norm = if cfg.out_indices.contains(&(at + 1)) {
                Some(LayerNorm::new(d, eps, vb.pp(format!("hidden_states_norms.stage{}", at + 1)))?)
            } else {
                None
            };
            Ok(Stage { blocks: (0..cfg.depths[at]).map(block).collect::<Result<_>>()?, downsample, norm })
        };
        let projection = embeddings.pp("patch_embeddings.projection");
        Ok(Self {
            projection: PatchConv::new(3, cfg.embed_dim, cfg.patch_size, projection)?,
            norm: LayerNorm::new(cfg.embed_dim, eps, embeddings.pp("norm"))?,
            stages: (0..cfg.depths.len()).map(stage).collect::<Result<_>>()?,
            patch: cfg.patch_size,
        })
    }

    /// The maps of the stages that are handed on, from the finest to the coarsest. Sides that are no multiple of the patch
    /// are filled up with zeros.
    ///
    /// # Shapes
    /// - `pixels`: `(b, 3, h, w)` → maps `(b, h', w', d)`
    pub fn forward(&self, pixels: &Tensor) -> Result<Vec<Tensor>> {
        let (_b, _c, h, w) = pixels.dims4()?;
        let rest = |size: usize| size.next_multiple_of(self.patch) - size;
        let pixels = pixels.pad_with_zeros(2, 0, rest(h))?.pad_with_zeros(3, 0, rest(w))?;
        let mut xs = pixels.permute((0, 2, 3, 1))?.apply(&self.projection)?.apply(&self.norm)?;
        let mut maps = Vec::new();
        for stage in &self.stages {
            xs = stage.blocks.iter().try_fold(xs, |xs, block| xs.apply(block))?;
            if let Some(norm) = &stage.norm {
                maps.push(xs.apply(norm)?);
            }
            if let Some(downsample) = &stage.downsample {
                xs = xs.apply(downsample)?;
            }
        }
        Ok(maps)
    }
}
