//! Sizes of the tower.

use candle_core::Result;
use serde::{Deserialize, Serialize};

use crate::siglip::{Activation, SiglipConfig};

/// Configuration with the published keys. It comes with other people's weights, so unknown keys are left alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClipVisionConfig {
    /// Width of the features.
    pub hidden_size: usize,
    /// Inner width of the MLPs.
    pub intermediate_size: usize,
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Side of the images.
    pub image_size: usize,
    /// Side of a patch.
    pub patch_size: usize,
    /// Colours.
    #[serde(default = "three")]
    pub num_channels: usize,
    /// Non-linearity of the MLPs.
    #[serde(default = "quick")]
    pub hidden_act: Activation,
    /// Keeps layer norms finite.
    #[serde(default = "small")]
    pub layer_norm_eps: f64,
}

fn three() -> usize {
    3
}

fn quick() -> Activation {
    Activation::QuickGelu
}

fn small() -> f64 {
    1e-5
}

impl ClipVisionConfig {
    /// `openai/clip-vit-large-patch14-336`.
    pub fn large_336() -> Self {
        Self {
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            image_size: 336,
            patch_size: 14,
            num_channels: 3,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
        }
    }

    /// Patches along one side of an image.
    pub fn grid(&self) -> usize {
        self.layers().grid()
    }

    /// The same sizes for the layers, which both towers share.
    pub(super) fn layers(&self) -> SiglipConfig {
        SiglipConfig {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            image_size: self.image_size,
            patch_size: self.patch_size,
            num_channels: self.num_channels,
            hidden_act: self.hidden_act,
            layer_norm_eps: self.layer_norm_eps,
        }
    }

    /// Fails when the sizes do not fit each other.
    pub fn validate(&self) -> Result<()> {
        self.layers().validate()
    }
}
