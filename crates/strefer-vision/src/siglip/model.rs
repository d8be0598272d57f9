//! The whole tower.

use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use strefer_nn::{LayerNorm, Recompute};

use super::embeddings::VisionEmbeddings;
use super::encoder::EncoderLayer;
use super::head::PoolingHead;
use super::{FeatureLayer, SiglipConfig};

/// SigLIP's vision tower, or as much of it as one feature needs.
#[derive(Debug, Clone)]
pub struct SiglipVision {
    embeddings: VisionEmbeddings,
    layers: Vec<EncoderLayer>,
    post_layernorm: Option<LayerNorm>,
    head: Option<PoolingHead>,
    recompute: Option<Recompute>,
    /// Path of the layers' parameters.
    path: String,
    depth: usize,
}

impl SiglipVision {
    /// The whole tower, pooling head included.
    pub fn new(cfg: &SiglipConfig, vb: VarBuilder) -> Result<Self> {
        let mut tower = Self::for_feature(cfg, FeatureLayer::LastNormed, vb.clone())?;
        tower.head = Some(PoolingHead::new(cfg, vb.pp("head"))?);
        Ok(tower)
    }

    /// Only the parts that `feature` depends on; the weights need not hold the others.
    pub fn for_feature(cfg: &SiglipConfig, feature: FeatureLayer, vb: VarBuilder) -> Result<Self> {
        cfg.validate()?;
        let depth = feature.depth(cfg.num_hidden_layers)?;
        let layers = (0..depth).map(|at| EncoderLayer::new(cfg, vb.pp("encoder.layers").pp(at)));
        let layers = layers.collect::<Result<Vec<_>>>()?;
        let post_layernorm = match feature {
            FeatureLayer::LastNormed => {
                Some(LayerNorm::new(cfg.hidden_size, cfg.layer_norm_eps, vb.pp("post_layernorm"))?)
            }
            FeatureLayer::Hidden(_) => None,
        };
        Ok(Self {
            embeddings: VisionEmbeddings::new(cfg, vb.pp("embeddings"))?,
            layers,
            post_layernorm,
            head: None,
            recompute: None,
            path: vb.pp("encoder.layers").prefix(),
            depth: cfg.num_hidden_layers,
        })
    }

    /// Layers keep only their inputs from now on and run again in the backward.
    pub fn set_recompute(&mut self, recompute: Option<Recompute>) {
        self.recompute = recompute;
    }

    /// Features of every patch. Layers after the chosen one do not run.
    ///
    /// # Shapes
    /// - `pixels`: `(b, 3, h, w)`, normalised; sides that are no multiple of the patch lose their rest
    /// - returns: `(b, n, dv)`, patches row by row
    pub fn forward(&self, pixels: &Tensor, feature: FeatureLayer) -> Result<Tensor> {
        let wanted = feature.depth(self.depth)?;
        if wanted > self.layers.len() {
            bail!(
                "siglip: {feature:?} needs {wanted} layers, the tower was built with {}",
                self.layers.len()
            );
        }
        let mut xs = self.embeddings.forward(pixels)?;
        for (at, layer) in self.layers[..wanted].iter().enumerate() {
            xs = match &self.recompute {
                Some(recompute) => {
                    let layer = layer.clone();
                    let name = format!("{}.{at}", self.path);
                    recompute.run(&name, &xs, move |xs, pass| layer.forward_in(xs, pass))?
                }
                None => layer.forward(&xs)?,
            };
        }
        match (feature, &self.post_layernorm) {
            (FeatureLayer::Hidden(_), _) => Ok(xs),
            (FeatureLayer::LastNormed, Some(norm)) => norm.forward(&xs),
            (FeatureLayer::LastNormed, None) => bail!("siglip: the tower was built without its final norm"),
        }
    }

    /// All states: the embedding, then the output of each layer that was built, each `(b, n, dv)`.
    pub fn hidden_states(&self, pixels: &Tensor) -> Result<Vec<Tensor>> {
        let mut states = vec![self.embeddings.forward(pixels)?];
        for layer in &self.layers {
            let next = layer.forward(&states[states.len() - 1])?;
            states.push(next);
        }
        Ok(states)
    }

    /// One vector per image out of the features after the final norm: `(b, n, dv)` → `(b, dv)`.
    pub fn pool(&self, last_normed: &Tensor) -> Result<Tensor> {
        match &self.head {
            Some(head) => head.forward(last_normed),
            None => bail!("siglip: the tower was built without its pooling head"),
        }
    }
}
