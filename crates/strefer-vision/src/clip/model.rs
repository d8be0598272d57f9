//! The whole tower.

use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::{Embedding, LayerNorm};

use super::ClipVisionConfig;
use crate::layers::PatchEmbedding;
use crate::siglip::{EncoderLayer, FeatureLayer};

/// CLIP's vision tower, or as much of it as one feature needs.
#[derive(Debug, Clone)]
pub struct ClipVision {
    class_embedding: Tensor,
    patch_embedding: PatchEmbedding,
    position_embedding: Embedding,
    pre_layrnorm: LayerNorm,
    layers: Vec<EncoderLayer>,
    post_layernorm: Option<LayerNorm>,
    /// Layers of the whole tower.
    depth: usize,
}

impl ClipVision {
    /// The whole tower. Weights lie directly below `vb`, which published checkpoints call `vision_model`.
    pub fn new(cfg: &ClipVisionConfig, vb: VarBuilder) -> Result<Self> {
        let mut tower = Self::for_feature(cfg, FeatureLayer::Hidden(-1), vb.clone())?;
        tower.post_layernorm =
            Some(LayerNorm::new(cfg.hidden_size, cfg.layer_norm_eps, vb.pp("post_layernorm"))?);
        Ok(tower)
    }

    /// Only the parts that `feature` depends on; the weights need not hold the others.
    pub fn for_feature(cfg: &ClipVisionConfig, feature: FeatureLayer, vb: VarBuilder) -> Result<Self> {
        cfg.validate()?;
        let (d, own) = (cfg.hidden_size, vb.pp("embeddings"));
        let layers = cfg.layers();
        let layer = |at: usize| EncoderLayer::new(&layers, vb.pp("encoder.layers").pp(at));
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 / (d as f64).sqrt() };
        let places = layers.grid() * layers.grid() + 1;
        let patches = own.pp("patch_embedding");
        Ok(Self {
            class_embedding: own.get_with_hints(d, "class_embedding", normal)?,
            patch_embedding: PatchEmbedding::new(cfg.num_channels, d, cfg.patch_size, false, patches)?,
            position_embedding: Embedding::new(places, d, own.pp("position_embedding"))?,
            pre_layrnorm: LayerNorm::new(d, cfg.layer_norm_eps, vb.pp("pre_layrnorm"))?,
            layers: (0..feature.depth(cfg.num_hidden_layers)?).map(layer).collect::<Result<_>>()?,
            post_layernorm: None,
            depth: cfg.num_hidden_layers,
        })
    }

    fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        let (patches, (rows, columns)) = self.patch_embedding.forward(pixels)?;
        let (b, n, d) = patches.dims3()?;
        let table = self.position_embedding.weight();
        if n + 1 != table.dim(0)? {
            bail!("clip: {rows}x{columns} patches, there are positions for {}", table.dim(0)? - 1);
        }
        let class = self.class_embedding.reshape((1, 1, d))?.broadcast_as((b, 1, d))?.contiguous()?;
        let xs = Tensor::cat(&[&class.to_dtype(patches.dtype())?, &patches], 1)?;
        // On a processor values are f32 where weights are narrower.
        xs.broadcast_add(&table.to_dtype(xs.dtype())?)?.apply(&self.pre_layrnorm)
    }

    /// States of the class token and of every patch. Layers after the chosen one do not run.
    ///
    /// # Shapes
    /// - `pixels`: `(b, 3, s, s)`, normalised
    /// - returns: `(b, 1 + n, d)`, the class token first, then patches row by row
    pub fn forward(&self, pixels: &Tensor, feature: FeatureLayer) -> Result<Tensor> {
        let FeatureLayer::Hidden(_) = feature else {
            bail!("clip: only the class token passes the last norm, see `pool`");
        };
        let wanted = feature.depth(self.depth)?;
        if wanted > self.layers.len() {
            bail!("clip: {feature:?} needs {wanted} layers, the tower was built with {}", self.layers.len());
        }
        self.layers[..wanted].iter().try_fold(self.embed(pixels)?, |xs, layer| layer.forward(&xs))
    }

    /// As [`ClipVision::forward`] without the class token: `(b, n, d)`.
    pub fn patches(&self, pixels: &Tensor, feature: FeatureLayer) -> Result<Tensor> {
        let states = self.forward(pixels, feature)?;
        states.narrow(1, 1, states.dim(1)? - 1)
    }

    /// All states: those after the first norm, then the output of each layer that was built, each `(b, 1 + n, d)`.
    pub fn hidden_states(&self, pixels: &Tensor) -> Result<Vec<Tensor>> {
        let mut states = vec![self.embed(pixels)?];
        for layer in &self.layers {
            let next = layer.forward(&states[states.len() - 1])?;
            states.push(next);
        }
        Ok(states)
    }

    /// One vector per image: the class token of the last layer after a norm. `(b, 1 + n, d)` → `(b, d)`
    pub fn pool(&self, last: &Tensor) -> Result<Tensor> {
        match &self.post_layernorm {
            Some(norm) => norm.forward(&last.narrow(1, 0, 1)?.squeeze(1)?),
            None => bail!("clip: the tower was built without its last norm"),
        }
    }
}
