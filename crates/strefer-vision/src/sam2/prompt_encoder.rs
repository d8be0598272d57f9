//! Prompts become tokens and maps.

use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::{LayerNorm, Linear, ops};

use super::{Label, PromptEncoderConfig, PromptPoint};
use crate::layers::{Filter, PatchConv, pointwise, resize};

/// Places in the square image as sines and cosines of random directions.
#[derive(Debug, Clone)]
struct PositionEmbedding {
    /// `(2, d/2)`
    positional_embedding: Tensor,
}

impl PositionEmbedding {
    /// Places in `[0, 1]`, `(n, 2)` with the column first → `(n, d)`.
    fn forward(&self, places: &Tensor) -> Result<Tensor> {
        let angles = (((places * 2.)? - 1.)?.matmul(&self.positional_embedding)? * std::f64::consts::TAU)?;
        Tensor::cat(&[angles.sin()?, angles.cos()?], 1)
    }
}

/// A mask at low resolution becomes a map beside the image's.
#[derive(Debug, Clone)]
struct MaskEmbedding {
    conv1: PatchConv,
    layer_norm1: LayerNorm,
    conv2: PatchConv,
    layer_norm2: LayerNorm,
    conv3: Linear,
}

impl MaskEmbedding {
    fn new(cfg: &PromptEncoderConfig, vb: VarBuilder) -> Result<Self> {
        let channels = cfg.mask_input_channels;
        Ok(Self {
            conv1: PatchConv::new(1, channels / 4, 2, vb.pp("conv1"))?,
            layer_norm1: LayerNorm::new(channels / 4, 1e-6, vb.pp("layer_norm1"))?,
            conv2: PatchConv::new(channels / 4, channels, 2, vb.pp("conv2"))?,
            layer_norm2: LayerNorm::new(channels, 1e-6, vb.pp("layer_norm2"))?,
            conv3: pointwise(channels, cfg.hidden_size, vb.pp("conv3"))?,
        })
    }
}

impl Module for MaskEmbedding {
    /// `(b, 4h, 4w, 1)` → `(b, h, w, d)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let xs = ops::gelu_erf(&xs.apply(&self.conv1)?.apply(&self.layer_norm1)?)?;
        ops::gelu_erf(&xs.apply(&self.conv2)?.apply(&self.layer_norm2)?)?.apply(&self.conv3)
    }
}

/// The encoder of points and masks.
#[derive(Debug, Clone)]
pub(super) struct PromptEncoder {
    positions: PositionEmbedding,
    /// `(4, d)`
    point_embed: Tensor,
    not_a_point_embed: Tensor,
    no_mask_embed: Tensor,
    mask_embed: MaskEmbedding,
    image_size: usize,
    grid: usize,
}

impl PromptEncoder {
    /// `vb` is that of the whole model, since images and prompts share the directions of their positions.
    pub(super) fn new(cfg: &PromptEncoderConfig, grid: usize, vb: VarBuilder) -> Result<Self> {
        let d = cfg.hidden_size;
        let normal = |stdev| Init::Randn { mean: 0.0, stdev };
        let shared = vb.pp("shared_image_embedding");
        let positional_embedding = shared.get_with_hints((2, d / 2), "positional_embedding", normal(1.0))?;
        let vb = vb.pp("prompt_encoder");
        Ok(Self {
            positions: PositionEmbedding { positional_embedding },
            point_embed: vb.get_with_hints((4, d), "point_embed.weight", normal(1.0))?,
            not_a_point_embed: vb.get_with_hints((1, d), "not_a_point_embed.weight", normal(1.0))?,
            no_mask_embed: vb.get_with_hints((1, d), "no_mask_embed.weight", normal(1.0))?,
            mask_embed: MaskEmbedding::new(cfg, vb.pp("mask_embed"))?,
            image_size: cfg.image_size,
            grid,
        })
    }

    /// The position of every cell of the top map: `(h*w, d)`.
    pub(super) fn dense_positions(&self) -> Result<Tensor> {
        let centre = |at: usize| (at as f32 + 0.5) / self.grid as f32;
        let cells = (0..self.grid).flat_map(|y| (0..self.grid).flat_map(move |x| [centre(x), centre(y)]));
        let table = &self.positions.positional_embedding;
        let cells = Tensor::from_iter(cells, table.device())?.reshape(((), 2))?;
        self.positions.forward(&cells.to_dtype(table.dtype())?)
    }

    /// Tokens of the points of each object, all of which have as many, and one more that says nothing.
    ///
    /// # Shapes
    /// - `points`: `o` lists of `n` points → `(o, n + 1, d)`
    pub(super) fn sparse(&self, points: &[Vec<PromptPoint>]) -> Result<Tensor> {
        let n = points.first().map_or(0, Vec::len);
        if points.iter().any(|row| row.len() != n) {
            bail!("sam2: objects with different numbers of points cannot be asked about at once");
        }
        let nothing = PromptPoint { xy: [0.0; 2], label: Label::Nothing };
        let all: Vec<PromptPoint> =
            points.iter().flat_map(|row| row.iter().copied().chain([nothing])).collect();
        let dev = self.point_embed.device();
        let side = self.image_size as f32;
        let places = all.iter().flat_map(|point| point.xy.map(|pixel| (pixel + 0.5) / side));
        let places = Tensor::from_iter(places, dev)?.reshape(((), 2))?.to_dtype(self.point_embed.dtype())?;
        // Points that say nothing, or stand for none, have no place.
        let placed =
            all.iter().map(|p| if matches!(p.label, Label::Nothing | Label::Padding) { 0f32 } else { 1. });
        let placed = Tensor::from_iter(placed, dev)?.unsqueeze(1)?.to_dtype(places.dtype())?;
        let zeros = self.not_a_point_embed.zeros_like()?;
        let kinds = Tensor::cat(&[&self.point_embed, &self.not_a_point_embed, &zeros], 0)?;
        let kind = |point: &PromptPoint| match point.label {
            Label::Outside => 0u32,
            Label::Inside => 1,
            Label::TopLeft => 2,
            Label::BottomRight => 3,
            Label::Nothing => 4,
            Label::Padding => 5,
        };
        let kinds = kinds.index_select(&Tensor::from_iter(all.iter().map(kind), dev)?, 0)?;
        let tokens = (self.positions.forward(&places)?.broadcast_mul(&placed)? + kinds)?;
        tokens.reshape((points.len(), n + 1, ()))
    }

    /// What is added to the top map: a map for mask prompts, one vector without.
    ///
    /// # Shapes
    /// - `logits`: `(o, h, w)`, of any size
    /// - returns: `(o, cells, d)`, or `(1, 1, d)`
    pub(super) fn dense(&self, logits: Option<&Tensor>) -> Result<Tensor> {
        let Some(logits) = logits else { return self.no_mask_embed.unsqueeze(0) };
        let size = 4 * self.grid;
        let logits = logits.to_device(self.no_mask_embed.device())?;
        let small = resize(&logits.unsqueeze(1)?, (size, size), Filter::Antialias)?;
        let small = small.to_dtype(self.no_mask_embed.dtype())?;
        small.permute((0, 2, 3, 1))?.contiguous()?.apply(&self.mask_embed)?.flatten(1, 2)
    }
}
