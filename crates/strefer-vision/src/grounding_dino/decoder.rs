//! The decoder: boxes look at each other, at the text and at the image, and move.

use std::f32::consts::TAU;

use candle_core::{DType, Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::LayerNorm;

use super::GroundingDinoConfig;
use super::deformable::{DeformableAttention, Maps};
use super::encoder::{ATTENTION, FeedForward, Scene};
use crate::layers::{CrossAttention, Mlp, Waves};

/// Boxes are kept this far from the edges where their logit is taken.
const EDGE: f64 = 1e-5;

/// The inverse of the sigmoid, of numbers kept off 0 and 1.
pub(super) fn logit(xs: &Tensor) -> Result<Tensor> {
    let xs = xs.clamp(EDGE, 1.0 - EDGE)?;
    (&xs / (1.0 - &xs)?)?.log()
}

#[derive(Debug, Clone)]
struct DecoderLayer {
    self_attn: CrossAttention,
    self_attn_layer_norm: LayerNorm,
    encoder_attn_text: CrossAttention,
    encoder_attn_text_layer_norm: LayerNorm,
    encoder_attn: DeformableAttention,
    encoder_attn_layer_norm: LayerNorm,
    feed_forward: FeedForward,
}

impl DecoderLayer {
    fn new(cfg: &GroundingDinoConfig, vb: VarBuilder) -> Result<Self> {
        let (d, heads, eps) = (cfg.d_model, cfg.decoder_attention_heads, cfg.layer_norm_eps);
        let (levels, points) = (cfg.num_feature_levels, cfg.decoder_n_points);
        let norm = |name: &str| LayerNorm::new(d, eps, vb.pp(name));
        let attention = |name: &str| CrossAttention::new(d, d, heads, ATTENTION, vb.pp(name));
        Ok(Self {
            self_attn: attention("self_attn")?,
            self_attn_layer_norm: norm("self_attn_layer_norm")?,
            encoder_attn_text: attention("encoder_attn_text")?,
            encoder_attn_text_layer_norm: norm("encoder_attn_text_layer_norm")?,
            encoder_attn: DeformableAttention::new(d, heads, levels, points, vb.pp("encoder_attn"))?,
            encoder_attn_layer_norm: norm("encoder_attn_layer_norm")?,
            feed_forward: FeedForward::new(d, cfg.decoder_ffn_dim, eps, "final_layer_norm", vb.clone())?,
        })
    }

    /// # Shapes
    /// - `xs`, `positions`: `(b, q, d)`
    /// - `references`: `(b, q, levels, 4)`
    fn forward(
        &self,
        xs: &Tensor,
        positions: &Tensor,
        references: &Tensor,
        (image, text): (&Tensor, &Tensor),
        scene: &Scene,
    ) -> Result<Tensor> {
        let placed = (xs + positions)?;
        let ys = self.self_attn.forward(&placed, &placed, xs)?;
        let xs = (xs + ys)?.apply(&self.self_attn_layer_norm)?;
        let ys =
            self.encoder_attn_text.forward_masked(&(&xs + positions)?, text, text, &scene.masks.tokens)?;
        let xs = (xs + ys)?.apply(&self.encoder_attn_text_layer_norm)?;
        let maps = Maps { cells: image, shown: &scene.shown, sizes: &scene.sizes };
        let ys = self.encoder_attn.forward(&(&xs + positions)?, references, maps)?;
        (xs + ys)?.apply(&self.encoder_attn_layer_norm)?.apply(&self.feed_forward)
    }
}

/// What one layer of the decoder says.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// Where the queries were, as vectors, `(b, q, d)`
    pub positions: Tensor,
    /// The queries after the layer, `(b, q, d)`
    pub hidden: Tensor,
    /// The same after the decoder's norm.
    pub normed: Tensor,
    /// The boxes that the next layer starts from, by centre and size, `(b, q, 4)`
    pub references: Tensor,
}

/// All layers of the decoder.
#[derive(Debug, Clone)]
pub(super) struct Decoder {
    layers: Vec<DecoderLayer>,
    layer_norm: LayerNorm,
    reference_points_head: Mlp,
    d: usize,
}

impl Decoder {
    pub(super) fn new(cfg: &GroundingDinoConfig, vb: VarBuilder) -> Result<Self> {
        let d = cfg.d_model;
        let names: Vec<String> = (0..2).map(|at| format!("layers.{at}")).collect();
        let layer = |at: usize| DecoderLayer::new(cfg, vb.pp("layers").pp(at));
        Ok(Self {
            layers: (0..cfg.decoder_layers).map(layer).collect::<Result<_>>()?,
            layer_norm: LayerNorm::new(d, cfg.layer_norm_eps, vb.pp("layer_norm"))?,
            reference_points_head: Mlp::relu(&[2 * d, d, d], &names, vb.pp("reference_points_head"))?,
            d,
        })
    }

    /// Where boxes are, as vectors: the row, the column, width and height. `(b, q, 4)` → `(b, q, d)`
    fn positions(&self, boxes: &Tensor, dtype: DType) -> Result<Tensor> {
        let (b, q, _) = boxes.dims3()?;
        let numbers: Vec<f32> = boxes.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let ordered = numbers.chunks_exact(4).flat_map(|n| [n[1], n[0], n[2], n[3]]).map(|n| n * TAU);
        let values = Waves::new(self.d / 2, 10000.0).of(ordered);
        let values = Tensor::from_vec(values, (b, q, 2 * self.d), boxes.device())?.to_dtype(dtype)?;
        self.reference_points_head.forward(&values)
    }

    /// What every layer says.
    ///
    /// # Shapes
    /// - `queries`: `(b, q, d)`, `references`: `(b, q, 4)`, f32
    /// - `ratios`: `(b, levels, 2)`, the share of each map that shows the image
    pub(super) fn forward(
        &self,
        queries: &Tensor,
        references: &Tensor,
        image_and_text: (&Tensor, &Tensor),
        ratios: &Tensor,
        scene: &Scene,
        box_head: &Mlp,
    ) -> Result<Vec<Decoded>> {
        let ratios = Tensor::cat(&[ratios, ratios], 2)?.unsqueeze(1)?; // (b, 1, levels, 4)
        let (mut xs, mut references) = (queries.clone(), references.clone());
        let mut decoded = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let on_maps = references.unsqueeze(2)?.broadcast_mul(&ratios)?; // (b, q, levels, 4)
            let positions = self.positions(&on_maps.narrow(2, 0, 1)?.squeeze(2)?, xs.dtype())?;
            let on_maps = on_maps.to_dtype(xs.dtype())?;
            xs = layer.forward(&xs, &positions, &on_maps, image_and_text, scene)?;
            let moved = (box_head.forward(&xs)?.to_dtype(DType::F32)? + logit(&references)?)?;
            references = candle_nn::ops::sigmoid(&moved)?;
            let normed = xs.apply(&self.layer_norm)?;
            decoded.push(Decoded { positions, hidden: xs.clone(), normed, references: references.clone() });
        }
        Ok(decoded)
    }
}
