//! The trunk (Hiera, arXiv 2306.00989): four stages of attention in windows, some of it over the whole map.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::ops::Heads;
use strefer_nn::{LayerNorm, Linear, linear};

use super::{BackboneConfig, Sam2Config};
use crate::layers::{Conv2d, Filter, Mlp, Windows, attend, resize};

/// The larger of every two by two cells: `(b, h, w, c)` → `(b, h/2, w/2, c)`.
fn max_pool(xs: &Tensor) -> Result<Tensor> {
    let (b, h, w, c) = xs.dims4()?;
    let xs = xs.narrow(1, 0, h / 2 * 2)?.narrow(2, 0, w / 2 * 2)?;
    let rows = xs.reshape((b, h / 2, 2, w / 2 * 2 * c))?;
    let rows = rows.narrow(2, 0, 1)?.maximum(&rows.narrow(2, 1, 1)?)?;
    let cells = rows.reshape((b, h / 2, w / 2, 2, c))?;
    cells.narrow(3, 0, 1)?.maximum(&cells.narrow(3, 1, 1)?)?.squeeze(3)
}

/// Attention inside maps, with coarser queries where the map becomes coarser.
#[derive(Debug, Clone)]
struct Attention {
    qkv: Linear,
    proj: Linear,
    heads: Heads,
    pooled: bool,
}

impl Attention {
    fn new(input: usize, output: usize, heads: usize, pooled: bool, vb: VarBuilder) -> Result<Self> {
        let scale = 1.0 / ((output / heads) as f64).sqrt();
        Ok(Self {
            qkv: linear(input, 3 * output, vb.pp("qkv"))?,
            proj: linear(output, output, vb.pp("proj"))?,
            heads: Heads { query: heads, key: heads, scale },
            pooled,
        })
    }
}

impl Module for Attention {
    /// `(b, h, w, c)` → `(b, h, w, o)`, or half as high and wide
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (b, h, w, _c) = xs.dims4()?;
        let qkv = xs.apply(&self.qkv)?;
        let d = qkv.dim(3)? / 3;
        // Views: heads are read where the layer left them.
        let part = |at: usize| qkv.flatten(1, 2)?.narrow(2, at * d, d);
        let (k, v) = (part(1)?, part(2)?);
        let (q, h, w) = if self.pooled {
            (max_pool(&qkv.narrow(3, 0, d)?)?.flatten(1, 2)?, h / 2, w / 2)
        } else {
            (part(0)?, h, w)
        };
        attend(&q, &k, &v, self.heads)?.reshape((b, h, w, d))?.apply(&self.proj)
    }
}

/// Attention and MLP on normed states, added to what came in.
#[derive(Debug, Clone)]
struct Block {
    layer_norm1: LayerNorm,
    attn: Attention,
    layer_norm2: LayerNorm,
    mlp: Mlp,
    /// Where the width changes, and the map becomes coarser.
    proj: Option<Linear>,
    /// None for the whole map.
    window: Option<usize>,
}

impl Block {
    fn new(
        cfg: &BackboneConfig,
        (input, output, heads): (usize, usize, usize),
        window: Option<usize>,
        vb: VarBuilder,
    ) -> Result<Self> {
        let eps = cfg.layer_norm_eps;
        let changes = input != output;
        let inner = (output as f64 * cfg.mlp_ratio) as usize;
        Ok(Self {
            layer_norm1: LayerNorm::new(input, eps, vb.pp("layer_norm1"))?,
            attn: Attention::new(input, output, heads, changes, vb.pp("attn"))?,
            layer_norm2: LayerNorm::new(output, eps, vb.pp("layer_norm2"))?,
            mlp: Mlp::gelu(output, inner, ["proj_in", "proj_out"], vb.pp("mlp"))?,
            proj: if changes { Some(linear(input, output, vb.pp("proj"))?) } else { None },
            window,
        })
    }
}

impl Module for Block {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (_b, h, w, _c) = xs.dims4()?;
        let normed = xs.apply(&self.layer_norm1)?;
        let shortcut = match &self.proj {
            Some(proj) => max_pool(&normed.apply(proj)?)?,
            None => xs.clone(),
        };
        let ys = match self.window {
            None => normed.apply(&self.attn)?,
            Some(side) => {
                let windows = Windows::new(side, h, w);
                let ys = windows.cut(&normed)?.apply(&self.attn)?;
                if self.proj.is_some() { windows.halved().join(&ys)? } else { windows.join(&ys)? }
            }
        };
        let xs = (shortcut + ys)?;
        &xs + xs.apply(&self.layer_norm2)?.apply(&self.mlp)?
    }
}

/// The trunk of the image encoder.
#[derive(Debug, Clone)]
pub struct Hiera {
    patch_embed: Conv2d,
    /// `(1, h, w, c)`, computed once for the model's image size
    positions: Tensor,
    blocks: Vec<Block>,
    /// The last block of each stage.
    ends: Vec<usize>,
}

impl Hiera {
    /// Weights lie directly below `vb`.
    pub fn new(cfg: &Sam2Config, vb: VarBuilder) -> Result<Self> {
        let grid = cfg.prompt_encoder_config.image_size / 4;
        let cfg = &cfg.vision_config.backbone_config;
        let first = cfg.embed_dim_per_stage[0];
        let mut blocks = Vec::new();
        let mut ends = Vec::new();
        let (mut input, mut previous) = (first, cfg.window_size_per_stage[0]);
        for (stage, &count) in cfg.blocks_per_stage.iter().enumerate() {
            let (output, heads) = (cfg.embed_dim_per_stage[stage], cfg.num_attention_heads_per_stage[stage]);
            for _ in 0..count {
                let at = blocks.len();
                // The first block of a stage still has the windows of the stage before.
                let window = (!cfg.global_attention_blocks.contains(&at)).then_some(previous);
                blocks.push(Block::new(cfg, (input, output, heads), window, vb.pp("blocks").pp(at))?);
                (input, previous) = (output, cfg.window_size_per_stage[stage]);
            }
            ends.push(blocks.len() - 1);
        }
        Ok(Self {
            patch_embed: Conv2d::new((3, first), (7, 4, 3), vb.pp("patch_embed.projection"))?,
            positions: positions(cfg, grid, vb)?,
            blocks,
            ends,
        })
    }

    /// Patches with their positions.
    ///
    /// # Shapes
    /// - `pixels`: `(b, 3, 4h, 4w)` → `(b, h, w, c)`
    pub fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        self.patch_embed.forward_planes(pixels)?.broadcast_add(&self.positions)
    }

    /// The maps that the stages end with.
    ///
    /// # Shapes
    /// - `pixels`: `(b, 3, s, s)`
    /// - returns: four of `(b, s/4, s/4, c)`, each half as high and wide as the one before
    pub fn forward(&self, pixels: &Tensor) -> Result<Vec<Tensor>> {
        let mut xs = self.embed(pixels)?;
        let mut maps = Vec::with_capacity(self.ends.len());
        for (at, block) in self.blocks.iter().enumerate() {
            xs = xs.apply(block)?;
            if self.ends.contains(&at) {
                maps.push(xs.clone());
            }
        }
        Ok(maps)
    }
}

/// A coarse table stretched over the map, and one for the places in a window laid over it like tiles.
fn positions(cfg: &BackboneConfig, grid: usize, vb: VarBuilder) -> Result<Tensor> {
    let c = cfg.embed_dim_per_stage[0];
    let [h, w] = cfg.window_positional_embedding_background_size;
    let side = cfg.window_size_per_stage[0];
    let small = Init::Randn { mean: 0.0, stdev: 0.02 };
    let background = vb.get_with_hints((1, c, h, w), "pos_embed", small)?;
    let window = vb.get_with_hints((1, c, side, side), "pos_embed_window", small)?;
    let background = resize(&background, (grid, grid), Filter::Cubic)?.to_dtype(window.dtype())?;
    let tiles = grid.div_ceil(side);
    let window = window.repeat((1, 1, tiles, tiles))?.narrow(2, 0, grid)?.narrow(3, 0, grid)?;
    (background + window)?.permute((0, 2, 3, 1))?.contiguous()
}
