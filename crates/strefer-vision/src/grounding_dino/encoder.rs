//! The feature enhancer: image and text look at each other, then each at itself.

use std::f32::consts::TAU;

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::ops::{self, AttentionMask, Heads};
use strefer_nn::{LayerNorm, Linear, linear};

use super::deformable::{DeformableAttention, Maps};
use super::{GroundingDinoConfig, Phrases};
use crate::layers::{CrossAttention, Mlp, Waves};

/// Names of the linear layers of attention in this model.
pub(super) const ATTENTION: [&str; 4] = ["query", "key", "value", "out_proj"];

/// One matrix of scores between cells and tokens, read both ways.
///
/// The reference subtracts the largest of all scores and cuts off what is 50,000 below it, which no softmax of f32 sees.
#[derive(Debug, Clone)]
struct BiAttention {
    vision_proj: Linear,
    text_proj: Linear,
    values_vision_proj: Linear,
    values_text_proj: Linear,
    out_vision_proj: Linear,
    out_text_proj: Linear,
    heads: Heads,
}

impl BiAttention {
    fn new(cfg: &GroundingDinoConfig, vb: VarBuilder) -> Result<Self> {
        let (d, inner, heads) = (cfg.d_model, cfg.encoder_ffn_dim / 2, cfg.encoder_attention_heads / 2);
        let scale = 1.0 / ((inner / heads) as f64).sqrt();
        Ok(Self {
            vision_proj: linear(d, inner, vb.pp("vision_proj"))?,
            text_proj: linear(d, inner, vb.pp("text_proj"))?,
            values_vision_proj: linear(d, inner, vb.pp("values_vision_proj"))?,
            values_text_proj: linear(d, inner, vb.pp("values_text_proj"))?,
            out_vision_proj: linear(inner, d, vb.pp("out_vision_proj"))?,
            out_text_proj: linear(inner, d, vb.pp("out_text_proj"))?,
            heads: Heads { query: heads, key: heads, scale },
        })
    }

    fn forward(&self, image: &Tensor, text: &Tensor, masks: &Masks) -> Result<(Tensor, Tensor)> {
        let (cells, tokens) = (image.apply(&self.vision_proj)?, text.apply(&self.text_proj)?);
        let of_text = text.apply(&self.values_text_proj)?;
        let to_image = ops::multi_head_attention(&cells, &tokens, &of_text, self.heads, None, &masks.tokens)?;
        let of_image = image.apply(&self.values_vision_proj)?;
        let to_text = ops::multi_head_attention(&tokens, &cells, &of_image, self.heads, None, &masks.cells)?;
        Ok((to_image.apply(&self.out_vision_proj)?, to_text.apply(&self.out_text_proj)?))
    }
}

/// What image and text tell each other, added to their normed states.
#[derive(Debug, Clone)]
struct FusionLayer {
    layer_norm_vision: LayerNorm,
    layer_norm_text: LayerNorm,
    attn: BiAttention,
    vision_param: Tensor,
    text_param: Tensor,
}

impl FusionLayer {
    fn new(cfg: &GroundingDinoConfig, vb: VarBuilder) -> Result<Self> {
        let (d, eps) = (cfg.d_model, cfg.layer_norm_eps);
        let param = |name: &str| vb.get_with_hints(d, name, Init::Const(1e-4));
        Ok(Self {
            layer_norm_vision: LayerNorm::new(d, eps, vb.pp("layer_norm_vision"))?,
            layer_norm_text: LayerNorm::new(d, eps, vb.pp("layer_norm_text"))?,
            attn: BiAttention::new(cfg, vb.pp("attn"))?,
            vision_param: param("vision_param")?,
            text_param: param("text_param")?,
        })
    }

    fn forward(&self, image: &Tensor, text: &Tensor, masks: &Masks) -> Result<(Tensor, Tensor)> {
        let (image, text) = (image.apply(&self.layer_norm_vision)?, text.apply(&self.layer_norm_text)?);
        let (to_image, to_text) = self.attn.forward(&image, &text, masks)?;
        let image = (image + to_image.broadcast_mul(&self.vision_param)?)?;
        Ok((image, (text + to_text.broadcast_mul(&self.text_param)?)?))
    }
}

/// Two linear layers with ReLU, added and normed.
#[derive(Debug, Clone)]
pub(super) struct FeedForward {
    mlp: Mlp,
    norm: LayerNorm,
}

impl FeedForward {
    pub(super) fn new(d: usize, inner: usize, eps: f64, norm: &str, vb: VarBuilder) -> Result<Self> {
        let norm = LayerNorm::new(d, eps, vb.pp(norm))?;
        Ok(Self { mlp: Mlp::relu(&[d, inner, d], &["fc1", "fc2"].map(str::to_owned), vb)?, norm })
    }
}

impl Module for FeedForward {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        (xs + xs.apply(&self.mlp)?)?.apply(&self.norm)
    }
}

/// Tokens look at their own phrase.
#[derive(Debug, Clone)]
struct TextEnhancerLayer {
    self_attn: CrossAttention,
    layer_norm_before: LayerNorm,
    feed_forward: FeedForward,
}

impl TextEnhancerLayer {
    fn new(cfg: &GroundingDinoConfig, vb: VarBuilder) -> Result<Self> {
        let (d, heads, eps) = (cfg.d_model, cfg.encoder_attention_heads / 2, cfg.layer_norm_eps);
        Ok(Self {
            self_attn: CrossAttention::new(d, d, heads, ATTENTION, vb.pp("self_attn"))?,
            layer_norm_before: LayerNorm::new(d, eps, vb.pp("layer_norm_before"))?,
            feed_forward: FeedForward::new(d, cfg.encoder_ffn_dim / 2, eps, "layer_norm_after", vb)?,
        })
    }

    fn forward(&self, xs: &Tensor, positions: &Tensor, mask: &AttentionMask) -> Result<Tensor> {
        let placed = (xs + positions)?;
        let ys = self.self_attn.forward_masked(&placed, &placed, xs, mask)?;
        (xs + ys)?.apply(&self.layer_norm_before)?.apply(&self.feed_forward)
    }
}

/// Cells look at places of all maps.
#[derive(Debug, Clone)]
struct DeformableLayer {
    self_attn: DeformableAttention,
    self_attn_layer_norm: LayerNorm,
    feed_forward: FeedForward,
}

impl DeformableLayer {
    fn new(cfg: &GroundingDinoConfig, vb: VarBuilder) -> Result<Self> {
        let (d, heads, eps) = (cfg.d_model, cfg.encoder_attention_heads, cfg.layer_norm_eps);
        let (levels, points) = (cfg.num_feature_levels, cfg.encoder_n_points);
        Ok(Self {
            self_attn: DeformableAttention::new(d, heads, levels, points, vb.pp("self_attn"))?,
            self_attn_layer_norm: LayerNorm::new(d, eps, vb.pp("self_attn_layer_norm"))?,
            feed_forward: FeedForward::new(d, cfg.encoder_ffn_dim, eps, "final_layer_norm", vb)?,
        })
    }

    /// Also gives what attention said.
    fn forward(&self, xs: &Tensor, scene: &Scene) -> Result<(Tensor, Tensor)> {
        let maps = Maps { cells: xs, shown: &scene.shown, sizes: &scene.sizes };
        let ys = self.self_attn.forward(&(xs + &scene.positions)?, &scene.references, maps)?;
        let xs = (xs + &ys)?.apply(&self.self_attn_layer_norm)?;
        Ok((xs.apply(&self.feed_forward)?, ys))
    }
}

/// Who may look at what.
#[derive(Debug, Clone)]
pub(super) struct Masks {
    /// Every query sees all tokens of its text.
    pub(super) tokens: AttentionMask,
    /// Every query sees all cells that show its image.
    cells: AttentionMask,
    /// Every token sees its phrase.
    phrases: AttentionMask,
}

impl Masks {
    pub(super) fn new(phrases: &Phrases, shown: &[bool]) -> Result<Self> {
        let (b, _) = phrases.dims();
        Ok(Self {
            tokens: phrases.tokens()?,
            cells: AttentionMask::bidirectional().with_padding(b, shown)?,
            phrases: phrases.mask()?,
        })
    }
}

/// What stays the same from layer to layer.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) sizes: Vec<(usize, usize)>,
    /// `(b, n, 1)`, 0 for cells that do not show the image
    pub(super) shown: Tensor,
    /// `(b, n, d)`
    pub(super) positions: Tensor,
    /// `(b, n, levels, 2)`
    pub(super) references: Tensor,
    pub(super) masks: Masks,
}

/// What one layer of the encoder says on the way, all of `(b, n, d)` or `(b, s, d)`.
#[derive(Debug, Clone)]
pub struct EncoderLayerStates {
    /// The image after the text was looked at.
    pub fused_image: Tensor,
    /// The text after the image was looked at.
    pub fused_text: Tensor,
    /// What deformable attention said.
    pub attended: Tensor,
    /// The image after the layer.
    pub image: Tensor,
    /// The text after the layer.
    pub text: Tensor,
}

#[derive(Debug, Clone)]
struct EncoderLayer {
    fusion_layer: FusionLayer,
    text_enhancer_layer: TextEnhancerLayer,
    deformable_layer: DeformableLayer,
}

/// All layers of the feature enhancer.
#[derive(Debug, Clone)]
pub(super) struct Encoder {
    layers: Vec<EncoderLayer>,
    d: usize,
}

impl Encoder {
    pub(super) fn new(cfg: &GroundingDinoConfig, vb: VarBuilder) -> Result<Self> {
        let layer = |at: usize| -> Result<EncoderLayer> {
            let vb = vb.pp("layers").pp(at);
            Ok(EncoderLayer {
                fusion_layer: FusionLayer::new(cfg, vb.pp("fusion_layer"))?,
                text_enhancer_layer: TextEnhancerLayer::new(cfg, vb.pp("text_enhancer_layer"))?,
                deformable_layer: DeformableLayer::new(cfg, vb.pp("deformable_layer"))?,
            })
        };
        Ok(Self { layers: (0..cfg.encoder_layers).map(layer).collect::<Result<_>>()?, d: cfg.d_model })
    }

    /// The image and the text after all layers; `visit` sees each layer's states.
    ///
    /// # Shapes
    /// - `image`: `(b, n, d)`, `text`: `(b, s, d)`
    pub(super) fn forward(
        &self,
        (image, text): (&Tensor, &Tensor),
        phrases: &Phrases,
        scene: &Scene,
        mut visit: impl FnMut(EncoderLayerStates),
    ) -> Result<(Tensor, Tensor)> {
        let (b, s) = phrases.dims();
        let places = (0..b).flat_map(|row| phrases.positions(row).iter().map(|at| *at as f32 * TAU));
        let places = Waves::new(self.d, 10000.0).of(places);
        let places = Tensor::from_vec(places, (b, s, self.d), text.device())?.to_dtype(text.dtype())?;
        let (mut image, mut text) = (image.clone(), text.clone());
        for layer in &self.layers {
            let (fused_image, fused_text) = layer.fusion_layer.forward(&image, &text, &scene.masks)?;
            text = layer.text_enhancer_layer.forward(&fused_text, &places, &scene.masks.phrases)?;
            let attended;
            (image, attended) = layer.deformable_layer.forward(&fused_image, scene)?;
            let (after, words) = (image.clone(), text.clone());
            visit(EncoderLayerStates { fused_image, fused_text, attended, image: after, text: words });
        }
        Ok((image, text))
    }
}
