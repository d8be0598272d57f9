//! DINOv2 (arXiv 2304.07193), whose states after some layers are read.

use candle_core::{DType, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::ops::Heads;
use strefer_nn::{LayerNorm, Linear, linear};

use super::config::Dinov2Config;
use crate::layers::{Filter, PatchConv, attend, resize};

const FRESH: Init = Init::Randn { mean: 0., stdev: 0.02 };

/// Attention and MLP, each scaled channel by channel and added to what came in.
#[derive(Debug, Clone)]
struct Layer {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    layer_scale1: Tensor,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    layer_scale2: Tensor,
    heads: Heads,
}

impl Layer {
    fn new(cfg: &Dinov2Config, vb: VarBuilder) -> Result<Self> {
        let (d, n) = (cfg.hidden_size, cfg.num_attention_heads);
        let (own, scale) =
            (vb.pp("attention"), |name: &str| vb.pp(name).get_with_hints(d, "lambda1", Init::Const(1.)));
        let attention = own.pp("attention");
        Ok(Self {
            norm1: LayerNorm::new(d, cfg.layer_norm_eps, vb.pp("norm1"))?,
            query: linear(d, d, attention.pp("query"))?,
            key: linear(d, d, attention.pp("key"))?,
            value: linear(d, d, attention.pp("value"))?,
            output: linear(d, d, own.pp("output.dense"))?,
            layer_scale1: scale("layer_scale1")?,
            norm2: LayerNorm::new(d, cfg.layer_norm_eps, vb.pp("norm2"))?,
            fc1: linear(d, cfg.mlp_ratio * d, vb.pp("mlp.fc1"))?,
            fc2: linear(cfg.mlp_ratio * d, d, vb.pp("mlp.fc2"))?,
            layer_scale2: scale("layer_scale2")?,
            heads: Heads { query: n, key: n, scale: 1.0 / ((d / n) as f64).sqrt() },
        })
    }
}

impl Module for Layer {
    /// `(b, n, d)` → `(b, n, d)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let normed = xs.apply(&self.norm1)?;
        let (q, k, v) = (normed.apply(&self.query)?, normed.apply(&self.key)?, normed.apply(&self.value)?);
        let attended = attend(&q, &k, &v, self.heads)?.apply(&self.output)?;
        let xs = (xs + attended.broadcast_mul(&self.layer_scale1)?)?;
        let inside = self.fc1.forward_gelu(&xs.apply(&self.norm2)?)?.apply(&self.fc2)?;
        &xs + inside.broadcast_mul(&self.layer_scale2)?
    }
}

/// The backbone.
#[derive(Debug, Clone)]
pub(super) struct Dinov2 {
    cls_token: Tensor,
    position_embeddings: Tensor,
    projection: PatchConv,
    layers: Vec<Layer>,
    layernorm: LayerNorm,
    out_indices: Vec<usize>,
    patch_size: usize,
}

impl Dinov2 {
    pub fn new(cfg: &Dinov2Config, vb: VarBuilder) -> Result<Self> {
        let (d, side) = (cfg.hidden_size, cfg.image_size / cfg.patch_size);
        let own = vb.pp("embeddings");
        let layer = |at: usize| Layer::new(cfg, vb.pp("encoder.layer").pp(at));
        // Those after the last one that is looked at change nothing, but their weights are there.
        let layers = (0..cfg.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        Ok(Self {
            cls_token: own.get_with_hints((1, 1, d), "cls_token", FRESH)?,
            position_embeddings: own.get_with_hints((1, side * side + 1, d), "position_embeddings", FRESH)?,
            projection: PatchConv::new(3, d, cfg.patch_size, own.pp("patch_embeddings.projection"))?,
            layers,
            layernorm: LayerNorm::new(d, cfg.layer_norm_eps, vb.pp("layernorm"))?,
            out_indices: cfg.out_indices.clone(),
            patch_size: cfg.patch_size,
        })
    }

    /// Positions of a grid of another size, by cubic convolution.
    fn positions(&self, (rows, columns): (usize, usize)) -> Result<Tensor> {
        let (_, n, d) = self.position_embeddings.dims3()?;
        let side = (n - 1).isqrt();
        if (rows, columns) == (side, side) {
            return Ok(self.position_embeddings.clone());
        }
        let of_class = self.position_embeddings.narrow(1, 0, 1)?;
        let grid = self.position_embeddings.narrow(1, 1, n - 1)?.reshape((1, side, side, d))?;
        let grid = grid.permute((0, 3, 1, 2))?.contiguous()?.to_dtype(DType::F32)?;
        let grid = resize(&grid, (rows, columns), Filter::Cubic)?.to_dtype(of_class.dtype())?;
        let grid = grid.flatten_from(2)?.transpose(1, 2)?; // (1, rows*columns, d)
        Tensor::cat(&[of_class, grid.contiguous()?], 1)
    }

    /// The normed states of patches after the layers that are looked at, as maps.
    ///
    /// # Shapes
    /// - `pixels`: `(b, 3, h, w)`, sides multiples of a patch's
    /// - returns: each `(b, h/patch, w/patch, d)`
    pub fn forward(&self, pixels: &Tensor) -> Result<Vec<Tensor>> {
        let (b, _, h, w) = pixels.dims4()?;
        let grid = (h / self.patch_size, w / self.patch_size);
        if (grid.0 * self.patch_size, grid.1 * self.patch_size) != (h, w) || h * w == 0 {
            bail!("depth anything: {w}x{h} pixels are no patches of {}", self.patch_size);
        }
        let patches = self.projection.forward(&pixels.permute((0, 2, 3, 1))?)?; // (b, rows, columns, d)
        let d = patches.dim(3)?;
        let patches = patches.reshape((b, grid.0 * grid.1, d))?;
        let cls = self.cls_token.expand((b, 1, d))?;
        let mut xs = Tensor::cat(&[cls, patches], 1)?.broadcast_add(&self.positions(grid)?)?;
        let mut maps = Vec::with_capacity(self.out_indices.len());
        for (at, layer) in self.layers.iter().enumerate() {
            xs = layer.forward(&xs)?;
            for _ in self.out_indices.iter().filter(|index| **index == at + 1) {
                let patches = xs.apply(&self.layernorm)?.narrow(1, 1, grid.0 * grid.1)?;
                maps.push(patches.contiguous()?.reshape((b, grid.0, grid.1, d))?);
            }
            if maps.len() == self.out_indices.len() {
                break;
            }
        }
        Ok(maps)
    }
}
