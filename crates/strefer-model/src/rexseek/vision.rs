//! What the model sees of an image and of its boxes.

use candle_core::{DType, Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::{Linear, linear};
use strefer_vision::clip::ClipVision;
use strefer_vision::convnext::{ConvNext, box_features, box_positions};
use strefer_vision::siglip::FeatureLayer;

use super::RexSeekConfig;

/// Two linear layers round an exact GELU.
#[derive(Debug, Clone)]
struct Projector {
    first: Linear,
    second: Linear,
}

impl Projector {
    /// Parameters `{0,2}` below `vb`.
    fn new(input: usize, d: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self { first: linear(input, d, vb.pp("0"))?, second: linear(d, d, vb.pp("2"))? })
    }
}

impl Module for Projector {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.first.forward_gelu(xs)?.apply(&self.second)
    }
}

/// Both towers and both projectors.
#[derive(Debug, Clone)]
pub struct Vision {
    vision_tower: ClipVision,
    vision_tower_aux: ConvNext,
    mm_projector: Projector,
    mm_object_projector: Projector,
    feature: FeatureLayer,
    canvas: usize,
    stride: usize,
    dtype: DType,
}

/// An image as tokens, and the maps that tell of its boxes.
#[derive(Debug, Clone)]
pub struct ImageFeatures {
    /// `(1, n, d)`
    pub tokens: Tensor,
    /// Of every stage, the finest first: `(1, h, w, c)`, in f32
    pub maps: Vec<Tensor>,
}

impl Vision {
    /// Names below `vb` are the published ones; those of ConvNeXt below `vision_tower_aux` are canonical
    /// ([`strefer_vision::convnext::canonical`]).
    pub fn new(cfg: &RexSeekConfig, vb: VarBuilder) -> Result<Self> {
        let clip = vb.pp("vision_tower.vision_tower.vision_model");
        let d = cfg.llm.hidden_size;
        Ok(Self {
            vision_tower: ClipVision::for_feature(&cfg.clip, cfg.feature, clip)?,
            vision_tower_aux: ConvNext::new(&cfg.convnext, vb.pp("vision_tower_aux"))?,
            mm_projector: Projector::new(cfg.image_width(), d, vb.pp("mm_projector"))?,
            mm_object_projector: Projector::new(cfg.object_width(), d, vb.pp("mm_object_projector"))?,
            feature: cfg.feature,
            canvas: cfg.canvas,
            stride: cfg.convnext.patch_size,
            dtype: vb.dtype(),
        })
    }

    /// Looks at an image.
    ///
    /// # Shapes
    /// - `small`: `(1, 3, s, s)`, `canvas`: `(1, 3, c, c)`, both normalised
    pub fn encode_image(&self, small: &Tensor, canvas: &Tensor) -> Result<ImageFeatures> {
        let coarse = self.vision_tower.patches(&small.to_dtype(self.dtype)?, self.feature)?;
        let mut maps = self.vision_tower_aux.forward(&canvas.to_dtype(self.dtype)?)?;
        maps.remove(0); // Patches before the first stage.
        self.join(&coarse, &maps)
    }

    /// Tokens of what CLIP says, `(1, n, dv)`, beside the last of ConvNeXt's maps.
    pub fn join(&self, coarse: &Tensor, maps: &[Tensor]) -> Result<ImageFeatures> {
        let Some(last) = maps.last() else { candle_core::bail!("an image without maps") };
        let (b, h, w, c) = last.dims4()?;
        let both = Tensor::cat(&[coarse, &last.reshape((b, h * w, c))?.to_dtype(coarse.dtype())?], 2)?; // (1, n, dv + c)
        // Boxes are measured in full precision, as upstream does it.
        let maps = maps.iter().map(|map| map.to_dtype(DType::F32)).collect::<Result<_>>()?;
        Ok(ImageFeatures { tokens: both.apply(&self.mm_projector)?, maps })
    }

    /// A token for each box, given on the canvas: `(k, d)`.
    pub fn encode_objects(&self, maps: &[Tensor], boxes: &[[f32; 4]]) -> Result<Tensor> {
        let means = box_features(maps, boxes, self.stride)?; // (k, sum of c)
        let places = box_positions(boxes, self.canvas, means.dim(1)?, means.device())?;
        (means + places)?.to_dtype(self.dtype)?.apply(&self.mm_object_projector)
    }
}
