//! Prompt tokens and image become masks, with an estimate of how good they are.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::{LayerNorm, Linear, ops};

use super::two_way::TwoWayTransformer;
use super::{ImageFeatures, MaskDecoderConfig};
use crate::layers::{Mlp, UpConv, pointwise};

/// Names of a head's layers as published.
fn head(widths: &[usize], vb: VarBuilder) -> Result<Mlp> {
    let between = widths.len().saturating_sub(3);
    let names: Vec<String> = std::iter::once("proj_in".to_owned())
        .chain((0..between).map(|at| format!("layers.{at}")))
        .chain(["proj_out".to_owned()])
        .collect();
    Mlp::relu(widths, &names, vb)
}

/// Everything that the decoder says about `o` objects: the single mask first, then the others.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// Logits `(o, m, h, w)`
    pub masks: Tensor,
    /// Estimated overlap of each mask with the object, `(o, m)`
    pub iou: Tensor,
    /// The tokens that the masks were made from, `(o, m, d)`
    pub mask_tokens: Tensor,
    /// Above zero where the object is to be seen, `(o, 1)`
    pub object_score: Tensor,
    /// All tokens after the transformer, `(o, n, d)`: object score, overlap, masks, prompt
    pub tokens: Tensor,
    /// The image after the transformer, `(o, cells, d)`
    pub image: Tensor,
}

/// The masks that were asked for.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Logits `(o, k, h, w)`
    pub masks: Tensor,
    /// Estimated overlaps `(o, k)`
    pub iou: Tensor,
    /// Tokens `(o, k, d)`; that of the single mask whichever mask stands for it.
    pub mask_tokens: Tensor,
}

impl Decoded {
    /// All masks but the single one, or the single mask; that one gives way to the best of the others where small changes
    /// of the threshold change it much.
    pub fn choose(&self, several: bool, cfg: &MaskDecoderConfig) -> Result<Chosen> {
        let m = self.masks.dim(1)?;
        if several {
            return Ok(Chosen {
                masks: self.masks.narrow(1, 1, m - 1)?,
                iou: self.iou.narrow(1, 1, m - 1)?,
                mask_tokens: self.mask_tokens.narrow(1, 1, m - 1)?,
            });
        }
        let stability = self.stability(cfg.dynamic_multimask_stability_delta)?;
        let best = best(&self.iou.narrow(1, 1, m - 1)?)?;
        let dynamic = cfg.dynamic_multimask_via_stability && m > 1;
        let pick = |(stability, best): (&f64, &usize)| {
            let stable = *stability >= cfg.dynamic_multimask_stability_thresh;
            if stable || !dynamic { 0 } else { 1 + best }
        };
        let picks: Vec<usize> = stability.iter().zip(&best).map(pick).collect();
        Ok(Chosen {
            masks: pick_each(&self.masks, &picks)?,
            iou: pick_each(&self.iou, &picks)?,
            mask_tokens: self.mask_tokens.narrow(1, 0, 1)?,
        })
    }

    /// How little the single mask of each object depends on the threshold: cells above `delta` over cells above `-delta`.
    pub fn stability(&self, delta: f64) -> Result<Vec<f64>> {
        let single = self.masks.narrow(1, 0, 1)?.flatten_from(1)?;
        let above = |threshold: f64| {
            single.gt(threshold)?.to_dtype(DType::F32)?.sum(1)?.to_dtype(DType::F64)?.to_vec1::<f64>()
        };
        let shares = above(delta)?.into_iter().zip(above(-delta)?);
        Ok(shares.map(|(few, many)| if many > 0.0 { few / many } else { 1.0 }).collect())
    }
}

impl Chosen {
    /// The mask of each object that is estimated to be best, with its token.
    pub fn best(&self) -> Result<Self> {
        let picks = best(&self.iou)?;
        // The single mask has one token, whichever mask stands for it.
        let last = self.mask_tokens.dim(1)?.saturating_sub(1);
        let tokens: Vec<usize> = picks.iter().map(|at| (*at).min(last)).collect();
        Ok(Self {
            masks: pick_each(&self.masks, &picks)?,
            iou: pick_each(&self.iou, &picks)?,
            mask_tokens: pick_each(&self.mask_tokens, &tokens)?,
        })
    }
}

/// The place of the first largest value of each row.
fn best(xs: &Tensor) -> Result<Vec<usize>> {
    let largest = |row: Vec<f32>| {
        row.iter().enumerate().fold(0, |best, (at, value)| if *value > row[best] { at } else { best })
    };
    Ok(xs.to_dtype(DType::F32)?.to_vec2::<f32>()?.into_iter().map(largest).collect())
}

/// One entry of the second dimension of each row, `(o, m, ..)` → `(o, 1, ..)`.
fn pick_each(xs: &Tensor, picks: &[usize]) -> Result<Tensor> {
    let rows = picks.iter().enumerate().map(|(row, &pick)| xs.narrow(0, row, 1)?.narrow(1, pick, 1));
    Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)
}

/// The mask decoder.
#[derive(Debug, Clone)]
pub(super) struct MaskDecoder {
    /// `(2 + masks, d)`: object score, overlap, masks
    tokens: Tensor,
    transformer: TwoWayTransformer,
    upscale_conv1: UpConv,
    upscale_layer_norm: LayerNorm,
    upscale_conv2: UpConv,
    conv_s0: Linear,
    conv_s1: Linear,
    output_hypernetworks_mlps: Vec<Mlp>,
    iou_prediction_head: Mlp,
    pred_obj_score_head: Mlp,
}

impl MaskDecoder {
    pub(super) fn new(cfg: &MaskDecoderConfig, vb: VarBuilder) -> Result<Self> {
        let d = cfg.hidden_size;
        let masks = cfg.num_multimask_outputs + 1;
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        let table = |count: usize, name: &str| vb.pp(name).get_with_hints((count, d), "weight", normal);
        let tokens = [table(1, "obj_score_token")?, table(1, "iou_token")?, table(masks, "mask_tokens")?];
        let network = |at: usize| head(&[d, d, d, d / 8], vb.pp("output_hypernetworks_mlps").pp(at));
        let mut iou_widths = vec![cfg.iou_head_hidden_dim; cfg.iou_head_depth + 1];
        iou_widths[0] = d;
        iou_widths[cfg.iou_head_depth] = masks;
        Ok(Self {
            tokens: Tensor::cat(&tokens, 0)?,
            transformer: TwoWayTransformer::new(cfg, vb.pp("transformer"))?,
            upscale_conv1: UpConv::new(d, d / 4, vb.pp("upscale_conv1"))?,
            upscale_layer_norm: LayerNorm::new(d / 4, 1e-6, vb.pp("upscale_layer_norm"))?,
            upscale_conv2: UpConv::new(d / 4, d / 8, vb.pp("upscale_conv2"))?,
            conv_s0: pointwise(d, d / 8, vb.pp("conv_s0"))?,
            conv_s1: pointwise(d, d / 4, vb.pp("conv_s1"))?,
            output_hypernetworks_mlps: (0..masks).map(network).collect::<Result<_>>()?,
            iou_prediction_head: head(&iou_widths, vb.pp("iou_prediction_head"))?,
            pred_obj_score_head: head(&[d, d, d, 1], vb.pp("pred_obj_score_head"))?,
        })
    }

    /// The two finest maps as narrow as the decoder wants them.
    pub(super) fn fine(&self, s0: &Tensor, s1: &Tensor) -> Result<[Tensor; 2]> {
        Ok([s0.apply(&self.conv_s0)?, s1.apply(&self.conv_s1)?])
    }

    /// # Shapes
    /// - `features`: of one image
    /// - `top`: the top map that is decoded, `(1, h, w, d)`
    /// - `positions`: `(1, h*w, d)`
    /// - `sparse`: `(o, n, d)`, `dense`: `(o|1, h*w|1, d)`
    pub(super) fn forward(
        &self,
        features: &ImageFeatures,
        top: &Tensor,
        positions: &Tensor,
        sparse: &Tensor,
        dense: &Tensor,
    ) -> Result<Decoded> {
        let (o, _n, d) = sparse.dims3()?;
        let (_, h, w, _) = top.dims4()?;
        let own = self.tokens.unsqueeze(0)?.broadcast_as((o, self.tokens.dim(0)?, d))?;
        let tokens = Tensor::cat(&[&own.contiguous()?, sparse], 1)?;
        let image = top.flatten(1, 2)?.broadcast_add(dense)?;
        let image = image.broadcast_as((o, h * w, d))?.contiguous()?;
        let (tokens, image) = self.transformer.forward(&tokens, &image, positions)?;

        let ys = image.reshape((o, h, w, d))?.apply(&self.upscale_conv1)?;
        let ys = ys.broadcast_add(&features.fine[1])?.apply(&self.upscale_layer_norm)?;
        let ys = ops::gelu_erf(&ys)?.apply(&self.upscale_conv2)?.broadcast_add(&features.fine[0])?;
        let ys = ops::gelu_erf(&ys)?.flatten(1, 2)?; // (o, 16*h*w, d/8)

        let masks = self.output_hypernetworks_mlps.len();
        let mask_tokens = tokens.narrow(1, 2, masks)?.contiguous()?;
        let filters = self.output_hypernetworks_mlps.iter().enumerate();
        let filters = filters.map(|(at, mlp)| mask_tokens.narrow(1, at, 1)?.apply(mlp));
        let filters = Tensor::cat(&filters.collect::<Result<Vec<_>>>()?, 1)?; // (o, m, d/8)
        let logits = filters.matmul(&ys.transpose(1, 2)?)?;
        let token = |at: usize| tokens.narrow(1, at, 1)?.squeeze(1);
        Ok(Decoded {
            masks: logits.reshape((o, masks, 4 * h, 4 * w))?,
            iou: candle_nn::ops::sigmoid(&token(1)?.apply(&self.iou_prediction_head)?)?,
            object_score: token(0)?.apply(&self.pred_obj_score_head)?,
            mask_tokens,
            tokens,
            image,
        })
    }
}

/// The number that a tensor of one value holds.
pub(super) fn number(xs: &Tensor) -> Result<f32> {
    xs.flatten_all()?.get_on_dim(D::Minus1, 0)?.to_dtype(DType::F32)?.to_scalar()
}
