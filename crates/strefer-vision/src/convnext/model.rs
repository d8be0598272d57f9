//! The whole tower.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};
use strefer_nn::LayerNorm;

use crate::layers::{BlockNames, ConvNextBlock, PatchConv};

const NAMES: BlockNames<'_> = ["dwconv", "layernorm", "pwconv1", "pwconv2", "layer_scale_parameter"];

/// Keeps the layer norms between stages finite.
const EPS: f64 = 1e-6;

/// Configuration with the published keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConvNextConfig {
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Width of each stage.
    pub hidden_sizes: Vec<usize>,
    /// Side of a patch.
    #[serde(default = "four")]
    pub patch_size: usize,
}

fn four() -> usize {
    4
}

impl ConvNextConfig {
    /// ConvNeXt-L, as RexSeek has it.
    pub fn large() -> Self {
        Self { depths: vec![3, 3, 27, 3], hidden_sizes: vec![192, 384, 768, 1536], patch_size: 4 }
    }

    /// Fails when the sizes do not fit each other.
    pub fn validate(&self) -> Result<()> {
        if self.depths.is_empty() || self.depths.len() != self.hidden_sizes.len() || self.patch_size == 0 {
            bail!("convnext: depths {:?} and widths {:?}", self.depths, self.hidden_sizes);
        }
        Ok(())
    }
}

/// A stage: the way from the stage before it, then blocks.
#[derive(Debug, Clone)]
struct Stage {
    downsampling_layer: Option<(LayerNorm, PatchConv)>,
    layers: Vec<ConvNextBlock>,
}

/// The tower without its classifier.
#[derive(Debug, Clone)]
pub struct ConvNext {
    patch_embeddings: PatchConv,
    layernorm: LayerNorm,
    stages: Vec<Stage>,
}

impl ConvNext {
    /// Weights with canonical names lie directly below `vb`.
    pub fn new(cfg: &ConvNextConfig, vb: VarBuilder) -> Result<Self> {
        cfg.validate()?;
        let own = vb.pp("embeddings");
        let widths = &cfg.hidden_sizes;
        let stage = |at: usize| -> Result<Stage> {
            let (d, own) = (widths[at], vb.pp("encoder.stages").pp(at));
            let downsampling_layer = if at == 0 {
                None
            } else {
                let (before, own) = (widths[at - 1], own.pp("downsampling_layer"));
                let norm = LayerNorm::new(before, EPS, own.pp(0))?;
                Some((norm, PatchConv::new(before, d, 2, own.pp(1))?))
            };
            let block = |nth: usize| ConvNextBlock::new(d, 4 * d, NAMES, own.pp("layers").pp(nth));
            Ok(Stage { downsampling_layer, layers: (0..cfg.depths[at]).map(block).collect::<Result<_>>()? })
        };
        Ok(Self {
            patch_embeddings: PatchConv::new(3, widths[0], cfg.patch_size, own.pp("patch_embeddings"))?,
            layernorm: LayerNorm::new(widths[0], EPS, own.pp("layernorm"))?,
            stages: (0..widths.len()).map(stage).collect::<Result<_>>()?,
        })
    }

    /// Normed patches, then the map of every stage.
    ///
    /// # Shapes
    /// - `pixels`: `(b, 3, h, w)`, normalised; sides that are no multiple of the patch lose their rest
    /// - returns: `(b, h/4, w/4, d)` twice, then maps half as high and wide as the one before
    pub fn forward(&self, pixels: &Tensor) -> Result<Vec<Tensor>> {
        let xs = pixels.permute((0, 2, 3, 1))?.contiguous()?;
        let mut maps = vec![xs.apply(&self.patch_embeddings)?.apply(&self.layernorm)?];
        for stage in &self.stages {
            let xs = &maps[maps.len() - 1];
            let xs = match &stage.downsampling_layer {
                Some((norm, conv)) => xs.apply(norm)?.apply(conv)?,
                None => xs.clone(),
            };
            maps.push(stage.layers.iter().try_fold(xs, |xs, block| xs.apply(block))?);
        }
        Ok(maps)
    }
}
