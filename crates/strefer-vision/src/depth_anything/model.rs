//! Backbone, neck and head, and how a picture is brought to the size that they take.

use std::path::Path;

use candle_core::{DType, Device, Result as TensorResult, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::{Linear, ParamStore, Weights};

use super::config::DepthAnythingConfig;
use super::dinov2::Dinov2;
use super::neck::{Neck, resized};
use crate::error::Result;
use crate::layers::{Conv2d, pointwise};

/// The side that pictures are brought near to.
const SIDE: f64 = 518.0;

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Depth Anything V2, the metric form.
#[derive(Debug, Clone)]
pub struct DepthAnything {
    backbone: Dinov2,
    neck: Neck,
    conv1: Conv2d,
    conv2: Conv2d,
    conv3: Linear,
    max_depth: f64,
    patch_size: usize,
    device: Device,
}

impl DepthAnything {
    /// Weights have the names of transformers.
    ///
    /// # Errors
    /// Sizes that do not fit each other, and models that do not give metres.
    pub fn new(cfg: &DepthAnythingConfig, vb: VarBuilder) -> TensorResult<Self> {
        if let Some(problem) = cfg.problem() {
            candle_core::bail!("depth anything: {problem}");
        }
        let (d, inside, head) = (cfg.fusion_hidden_size, cfg.head_hidden_size, vb.pp("head"));
        Ok(Self {
            backbone: Dinov2::new(&cfg.backbone_config, vb.pp("backbone"))?,
            neck: Neck::new(cfg, vb.pp("neck"))?,
            conv1: Conv2d::new((d, d / 2), (3, 1, 1), head.pp("conv1"))?,
            conv2: Conv2d::new((d / 2, inside), (3, 1, 1), head.pp("conv2"))?,
            conv3: pointwise(inside, 1, head.pp("conv3"))?,
            max_depth: cfg.max_depth(),
            patch_size: cfg.backbone_config.patch_size,
            device: vb.device().clone(),
        })
    }

    /// A model of weights that are all there.
    ///
    /// # Errors
    /// Weights that are missing, or that belong to something else.
    pub fn load(cfg: &DepthAnythingConfig, weights: Weights, device: &Device, dtype: DType) -> Result<Self> {
        // Only training hides patches.
        let weights = weights.renamed(|name| (!name.ends_with("mask_token")).then(|| name.to_owned()))?;
        let store = ParamStore::new(0, device, dtype).with_weights(weights);
        let model = Self::new(cfg, store.var_builder())?;
        store.check_complete()?;
        Ok(model)
    }

    /// Opens a folder with `config.json` and weights.
    ///
    /// # Errors
    /// A file that cannot be read, a model that does not give metres.
    pub fn open(dir: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let cfg = DepthAnythingConfig::open(&dir.join("config.json"))?;
        Self::load(&cfg, Weights::open(dir)?, device, dtype)
    }

    /// Height and width that a picture is resized to: its own shape, the side that changes less near 518, both multiples of a
    /// patch.
    pub fn input_size(&self, height: usize, width: usize) -> (usize, usize) {
        let scales = [SIDE / height as f64, SIDE / width as f64];
        let scale = if (1.0 - scales[1]).abs() < (1.0 - scales[0]).abs() { scales[1] } else { scales[0] };
        let patch = self.patch_size as f64;
        let side = |length: usize| {
            let patches = (length as f64 * scale / patch).round_ties_even().max(1.0);
            patches as usize * self.patch_size
        };
        (side(height), side(width))
    }

    /// Depth in metres of a picture that was resized to [`Self::input_size`], three bytes a pixel, row by row.
    ///
    /// # Errors
    /// Another number of bytes, sides that are no multiples of a patch.
    pub fn depth(&self, rgb: &[u8], height: usize, width: usize) -> Result<Vec<f32>> {
        if rgb.len() != height * width * 3 {
            let bytes = rgb.len();
            return Err(crate::error::Error::input(format!(
                "{bytes} bytes are no picture of {width}x{height}"
            )));
        }
        let value = |at: usize, byte: u8| (f32::from(byte) / 255.0 - MEAN[at % 3]) / STD[at % 3];
        let values = rgb.iter().enumerate().map(|(at, byte)| value(at, *byte));
        let pixels = Tensor::from_iter(values, &self.device)?.reshape((1, height, width, 3))?;
        let pixels = pixels.permute((0, 3, 1, 2))?.contiguous()?.to_dtype(self.conv3.weight().dtype())?;
        Ok(self.forward(&pixels)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }

    /// # Shapes
    /// - `pixels`: `(b, 3, h, w)`, normalised
    /// - returns: `(b, h, w)`, in metres
    pub fn forward(&self, pixels: &Tensor) -> TensorResult<Tensor> {
        let (_, _, h, w) = pixels.dims4()?;
        let fused = self.neck.forward(&self.backbone.forward(pixels)?)?;
        let xs = resized(&fused.apply(&self.conv1)?, (h, w))?;
        let xs = xs.apply(&self.conv2)?.relu()?.apply(&self.conv3)?.squeeze(3)?; // (b, h, w)
        candle_nn::ops::sigmoid(&xs)? * self.max_depth
    }
}
