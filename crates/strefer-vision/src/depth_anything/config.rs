//! Sizes, with the published keys.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dinov2Config {
    /// Width.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of each layer.
    pub num_attention_heads: usize,
    /// Width inside an MLP over the width outside.
    pub mlp_ratio: usize,
    /// Side of the square pictures that positions were learnt for.
    pub image_size: usize,
    /// Side of a patch.
    pub patch_size: usize,
    /// After which layers, counted from 1, the neck looks.
    pub out_indices: Vec<usize>,
    /// Keeps layer norms finite.
    pub layer_norm_eps: f64,
    /// Whether the MLPs are gated, as those of the largest backbone.
    pub use_swiglu_ffn: bool,
}

impl Default for Dinov2Config {
    /// What published files leave out.
    fn default() -> Self {
        Self {
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            mlp_ratio: 4,
            image_size: 224,
            patch_size: 14,
            out_indices: Vec::new(),
            layer_norm_eps: 1e-6,
            use_swiglu_ffn: false,
        }
    }
}

/// The whole model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DepthAnythingConfig {
    /// The backbone.
    pub backbone_config: Dinov2Config,
    /// Width of the maps that are fused.
    pub fusion_hidden_size: usize,
    /// Width of each map before that.
    pub neck_hidden_sizes: Vec<usize>,
    /// How much larger each map is made than the grid of patches.
    pub reassemble_factors: Vec<f64>,
    /// Width inside the head.
    pub head_hidden_size: usize,
    /// `metric` or `relative`; relative where it is absent.
    #[serde(default)]
    pub depth_estimation_type: Option<String>,
    /// The largest depth in metres.
    #[serde(default)]
    pub max_depth: Option<f64>,
}

impl DepthAnythingConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// A file that cannot be read or used.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(Error::io(path))?;
        let bad = |reason: String| Error::Config { origin: path.display().to_string(), reason };
        let cfg: Self = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        match cfg.problem() {
            Some(reason) => Err(bad(reason)),
            None => Ok(cfg),
        }
    }

    /// The largest depth in metres.
    pub(super) fn max_depth(&self) -> f64 {
        self.max_depth.unwrap_or(1.0)
    }

    /// What parses but cannot be meant, or cannot be done here.
    pub(super) fn problem(&self) -> Option<String> {
        let backbone = &self.backbone_config;
        let stages = self.neck_hidden_sizes.len();
        let fits = |at: &usize| (1..=backbone.num_hidden_layers).contains(at);
        if self.depth_estimation_type.as_deref() != Some("metric") {
            return Some(
                "it gives depth up to an unknown scale, not metres (depth_estimation_type)".to_owned(),
            );
        }
        if backbone.use_swiglu_ffn {
            return Some("backbones with gated MLPs (use_swiglu_ffn) are not supported".to_owned());
        }
        if stages == 0 || backbone.out_indices.len() != stages || self.reassemble_factors.len() != stages {
            return Some("out_indices, neck_hidden_sizes and reassemble_factors differ in number".to_owned());
        }
        if !backbone.out_indices.iter().all(fits) || !backbone.out_indices.is_sorted() {
            return Some(format!("out_indices {:?} are no layers in order", backbone.out_indices));
        }
        if !self.reassemble_factors.iter().all(|factor| [4.0, 2.0, 1.0, 0.5].contains(factor)) {
            return Some(format!("reassemble_factors {:?} are not 4, 2, 1 and 0.5", self.reassemble_factors));
        }
        let sizes =
            [backbone.num_attention_heads, backbone.patch_size, backbone.image_size, self.head_hidden_size];
        if sizes.contains(&0) || !backbone.hidden_size.is_multiple_of(backbone.num_attention_heads.max(1)) {
            return Some("a size is 0, or heads do not divide the width".to_owned());
        }
        let reaches = self.max_depth().is_finite() && self.max_depth() > 0.0;
        (!reaches || self.max_depth.is_none()).then(|| format!("max_depth is {:?}", self.max_depth))
    }
}
