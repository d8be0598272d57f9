//! A frame and the mask found in it become a memory.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::{LayerNorm, Linear, ops};

use super::Sam2Config;
use super::config::STRIDE;
use crate::layers::{BlockNames, Conv2d, ConvNextBlock, pointwise};

/// A mask at the size of the image becomes a map as coarse as the top map.
#[derive(Debug, Clone)]
struct MaskDownSampler {
    layers: Vec<(Conv2d, LayerNorm)>,
    final_conv: Linear,
}

impl MaskDownSampler {
    fn new(d: usize, vb: VarBuilder) -> Result<Self> {
        let steps = STRIDE.ilog2();
        let layer = |at: u32| -> Result<(Conv2d, LayerNorm)> {
            let (input, output) = (4usize.pow(at), 4usize.pow(at + 1));
            let vb = vb.pp("layers").pp(at);
            let conv = Conv2d::new((input, output), (3, 2, 1), vb.pp("conv"))?;
            Ok((conv, LayerNorm::new(output, 1e-6, vb.pp("layer_norm"))?))
        };
        let layers = (0..steps).map(layer).collect::<Result<_>>()?;
        Ok(Self { layers, final_conv: pointwise(4usize.pow(steps), d, vb.pp("final_conv"))? })
    }
}

impl Module for MaskDownSampler {
    /// `(b, 16h, 16w, 1)` → `(b, h, w, d)`
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let step =
            |xs: Tensor, (conv, norm): &(Conv2d, LayerNorm)| ops::gelu_erf(&xs.apply(conv)?.apply(norm)?);
        self.layers.iter().try_fold(xs.clone(), step)?.apply(&self.final_conv)
    }
}

/// Names of the parts of a block that fuses image and mask.
const FUSER: BlockNames<'_> = ["depthwise_conv", "layer_norm", "pointwise_conv1", "pointwise_conv2", "scale"];

/// The memory encoder.
#[derive(Debug, Clone)]
pub(super) struct MemoryEncoder {
    mask_downsampler: MaskDownSampler,
    feature_projection: Linear,
    memory_fuser: Vec<ConvNextBlock>,
    projection: Linear,
}

impl MemoryEncoder {
    pub(super) fn new(cfg: &Sam2Config, vb: VarBuilder) -> Result<Self> {
        let d = cfg.vision_config.fpn_hidden_size;
        let inner = cfg.memory_fuser_intermediate_dim;
        let block = |at: usize| ConvNextBlock::new(d, inner, FUSER, vb.pp("memory_fuser.layers").pp(at));
        Ok(Self {
            mask_downsampler: MaskDownSampler::new(d, vb.pp("mask_downsampler"))?,
            feature_projection: pointwise(d, d, vb.pp("feature_projection"))?,
            memory_fuser: (0..cfg.memory_fuser_num_layers).map(block).collect::<Result<_>>()?,
            projection: pointwise(d, cfg.memory_encoder_output_channels, vb.pp("projection"))?,
        })
    }

    /// # Shapes
    /// - `top`: `(b, h, w, d)`, without memory
    /// - `mask`: `(b, 1, 16h, 16w)`, scaled
    /// - returns: `(b, h*w, m)`
    pub(super) fn forward(&self, top: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let (b, _, side_h, side_w) = mask.dims4()?;
        let mask = mask.reshape((b, side_h, side_w, 1))?.apply(&self.mask_downsampler)?;
        let xs = (top.apply(&self.feature_projection)? + mask)?;
        let xs = self.memory_fuser.iter().try_fold(xs, |xs, block| xs.apply(block))?;
        xs.apply(&self.projection)?.flatten(1, 2)
    }
}
