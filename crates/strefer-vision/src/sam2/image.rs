//! Masks in single images.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_core::Mask;
use strefer_nn::ParamStore;

use super::hiera::Hiera;
use super::mask_decoder::{MaskDecoder, number};
use super::names::{open_weights, unused_by_images};
use super::neck::Neck;
use super::prompt_encoder::PromptEncoder;
use super::{Decoded, Prompt, PromptPoint, Sam2Config};
use crate::error::{Error, Result};
use crate::layers::{Filter, resize};

/// Logits of masks handed out for reuse stay within this.
const LOGIT_LIMIT: f64 = 32.0;

/// What the model knows about an image before anybody asks.
#[derive(Debug, Clone)]
pub struct ImageFeatures {
    /// The top map, `(b, h, w, d)`
    pub top: Tensor,
    /// The finer maps, `(b, 4h, 4w, d/8)` and `(b, 2h, 2w, d/4)`
    pub fine: [Tensor; 2],
}

impl ImageFeatures {
    /// The features of image `at` of a batch.
    pub fn of_image(&self, at: usize) -> candle_core::Result<Self> {
        let fine = [self.fine[0].narrow(0, at, 1)?, self.fine[1].narrow(0, at, 1)?];
        Ok(Self { top: self.top.narrow(0, at, 1)?, fine })
    }
}

/// Masks for one prompt, best estimated overlap first where several were asked for.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// Logits at low resolution, `(k, h, w)`
    pub masks: Tensor,
    /// Estimated overlap of each mask with the object.
    pub iou: Vec<f32>,
    /// Above zero where the object is to be seen at all.
    pub object_score: f32,
}

impl Prediction {
    /// Mask `at` in the size of the image.
    pub fn mask(&self, at: usize, height: usize, width: usize) -> candle_core::Result<Mask> {
        binary(&self.masks.narrow(0, at, 1)?, height, width)
    }

    /// Logits of mask `at` for another prompt about the same object, `(h, w)`.
    pub fn logits(&self, at: usize) -> candle_core::Result<Tensor> {
        self.masks.get(at)?.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    }
}

/// The cells of `(1, h, w)` that are above zero after they were resized.
pub(super) fn binary(logits: &Tensor, height: usize, width: usize) -> candle_core::Result<Mask> {
    let large = resize(&logits.unsqueeze(0)?, (height, width), Filter::Linear)?;
    let values = large.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    Ok(Mask::from_fn(height, width, |y, x| values[y * width + x] > 0.0))
}

/// The part of SAM 2.1 that looks at images.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use strefer_nn::ParamStore;
/// use strefer_vision::sam2::{Prompt, Sam2, Sam2Config};
///
/// let mut cfg = Sam2Config::tiny();
/// cfg.prompt_encoder_config.image_size = 64;
/// let store = ParamStore::new(1, &Device::Cpu, DType::F32);
/// let model = Sam2::new(&cfg, store.var_builder())?;
/// let features = model.encode(&Tensor::zeros((1, 3, 64, 64), DType::F32, &Device::Cpu)?)?;
/// // A click in an image of 30 by 40 pixels.
/// let found = model.predict(&features, &Prompt::click(12.0, 9.0), (30, 40), true)?;
/// assert_eq!(found.mask(0, 30, 40)?.width(), 40);
/// # Ok::<(), strefer_vision::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sam2 {
    cfg: Sam2Config,
    backbone: Hiera,
    neck: Neck,
    prompt_encoder: PromptEncoder,
    mask_decoder: MaskDecoder,
    /// Stands for memory where there is none, `(1, 1, d)`
    no_memory_embedding: Tensor,
    /// `(1, h*w, d)`
    dense_positions: Tensor,
}

impl Sam2 {
    /// Weights with canonical names lie directly below `vb`.
    pub fn new(cfg: &Sam2Config, vb: VarBuilder) -> Result<Self> {
        cfg.validate().map_err(|reason| Error::Config { origin: "sam2".to_owned(), reason })?;
        let vision = vb.pp("vision_encoder");
        let d = cfg.vision_config.fpn_hidden_size;
        let prompt_encoder = PromptEncoder::new(&cfg.prompt_encoder_config, cfg.grid(), vb.clone())?;
        let small = Init::Randn { mean: 0.0, stdev: 0.02 };
        Ok(Self {
            backbone: Hiera::new(cfg, vision.pp("backbone"))?,
            neck: Neck::new(&cfg.vision_config, vision.pp("neck"))?,
            dense_positions: prompt_encoder.dense_positions()?.unsqueeze(0)?,
            prompt_encoder,
            mask_decoder: MaskDecoder::new(&cfg.mask_decoder_config, vb.pp("mask_decoder"))?,
            no_memory_embedding: vb.get_with_hints((1, 1, d), "no_memory_embedding", small)?,
            cfg: cfg.clone(),
        })
    }

    /// Opens a folder or file of weights in either layout, with a `config.json` beside them or in one of the published
    /// sizes.
    pub fn open(path: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let (cfg, weights) = open_weights(path)?;
        let weights = weights.renamed(|name| (!unused_by_images(name)).then(|| name.to_owned()))?;
        let store = ParamStore::new(0, device, dtype).with_weights(weights);
        let model = Self::new(&cfg, store.var_builder())?;
        store.check_complete()?;
        Ok(model)
    }

    /// The configuration.
    pub fn config(&self) -> &Sam2Config {
        &self.cfg
    }

    /// The trunk of the image encoder.
    pub fn backbone(&self) -> &Hiera {
        &self.backbone
    }

    /// Side of the square images that the model takes.
    pub fn image_size(&self) -> usize {
        self.cfg.prompt_encoder_config.image_size
    }

    /// Maps of the neck from the finest to the coarsest, before the decoder narrows them.
    ///
    /// # Shapes
    /// - `pixels`: `(b, 3, s, s)`, normalised
    /// - returns: `(b, s/4, s/4, d)`, `(b, s/8, s/8, d)`, `(b, s/16, s/16, d)`
    pub fn pyramid(&self, pixels: &Tensor) -> Result<Vec<Tensor>> {
        let (_b, _c, h, w) = pixels.dims4()?;
        let size = self.image_size();
        if (h, w) != (size, size) {
            return Err(Error::input(format!("the model takes images of {size}x{size}, got {h}x{w}")));
        }
        let dtype = self.no_memory_embedding.dtype();
        let pixels = pixels.to_device(self.no_memory_embedding.device())?.to_dtype(dtype)?;
        Ok(self.neck.forward(&self.backbone.forward(&pixels)?)?)
    }

    /// Looks at images; see [`super::pixels`].
    ///
    /// # Shapes
    /// - `pixels`: `(b, 3, s, s)`, normalised
    pub fn encode(&self, pixels: &Tensor) -> Result<ImageFeatures> {
        let maps = self.pyramid(pixels)?;
        Ok(ImageFeatures { fine: self.mask_decoder.fine(&maps[0], &maps[1])?, top: maps[2].clone() })
    }

    /// The top map as it is decoded where there is no memory.
    pub fn without_memory(&self, features: &ImageFeatures) -> candle_core::Result<Tensor> {
        features.top.broadcast_add(&self.no_memory_embedding)
    }

    /// Positions of the cells of the top map, `(1, h*w, d)`.
    pub fn dense_positions(&self) -> &Tensor {
        &self.dense_positions
    }

    /// Prompts as the decoder gets them: tokens `(o, n + 1, d)` of as many points for each object, and what is added to
    /// the image, `(o, h*w, d)` for logits `(o, h, w)` and `(1, 1, d)` without.
    pub fn embed_prompts(
        &self,
        points: &[Vec<PromptPoint>],
        logits: Option<&Tensor>,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        Ok((self.prompt_encoder.sparse(points)?, self.prompt_encoder.dense(logits)?))
    }

    /// Decodes embedded prompts of one image. `top` is the image's top map, with or without memory.
    pub fn decode(
        &self,
        features: &ImageFeatures,
        top: &Tensor,
        sparse: &Tensor,
        dense: &Tensor,
    ) -> candle_core::Result<Decoded> {
        self.mask_decoder.forward(features, top, &self.dense_positions, sparse, dense)
    }

    /// Masks for one prompt about an image of `size` (height, width), in whose pixels the prompt counts. With `several`
    /// there are three masks, which a single click may need.
    pub fn predict(
        &self,
        features: &ImageFeatures,
        prompt: &Prompt,
        size: (usize, usize),
        several: bool,
    ) -> Result<Prediction> {
        if let Some(reason) = prompt.problem() {
            return Err(Error::input(format!("prompt: {reason}")));
        }
        let points = vec![prompt.points(size, self.image_size())];
        let logits = prompt.logits.as_ref().map(|logits| logits.unsqueeze(0)).transpose()?;
        let (sparse, dense) = self.embed_prompts(&points, logits.as_ref())?;
        let decoded = self.decode(features, &self.without_memory(features)?, &sparse, &dense)?;
        let chosen = decoded.choose(several, &self.cfg.mask_decoder_config)?;
        let iou: Vec<f32> = chosen.iou.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
        let mut order: Vec<u32> = (0..iou.len() as u32).collect();
        order.sort_by(|a, b| iou[*b as usize].total_cmp(&iou[*a as usize]));
        let iou = order.iter().map(|at| iou[*at as usize]).collect();
        let order = Tensor::new(order, chosen.masks.device())?;
        let masks = chosen.masks.squeeze(0)?.index_select(&order, 0)?;
        Ok(Prediction { masks, iou, object_score: number(&decoded.object_score)? })
    }
}
