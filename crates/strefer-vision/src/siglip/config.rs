//! Sizes of the tower, and which of its states is the feature.

use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};

/// Non-linearity of the MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Activation {
    /// GELU by its approximation with a hyperbolic tangent.
    #[default]
    #[serde(rename = "gelu_pytorch_tanh")]
    GeluTanh,
    /// Exact GELU.
    #[serde(rename = "gelu")]
    GeluErf,
    /// `x σ(1.702 x)`.
    #[serde(rename = "quick_gelu")]
    QuickGelu,
}

/// Configuration with the published keys. It comes with other people's weights, so unknown keys are left alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiglipConfig {
    /// Width of the features.
    pub hidden_size: usize,
    /// Inner width of the MLPs.
    pub intermediate_size: usize,
    /// Number of transformer layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Side of the images for which there is a position table.
    pub image_size: usize,
    /// Side of a patch.
    pub patch_size: usize,
    /// Colours.
    #[serde(default = "three")]
    pub num_channels: usize,
    /// Non-linearity of the MLPs.
    #[serde(default)]
    pub hidden_act: Activation,
    /// Keeps layer norms finite.
    #[serde(default = "small")]
    pub layer_norm_eps: f64,
}

fn three() -> usize {
    3
}

fn small() -> f64 {
    1e-6
}

impl SiglipConfig {
    /// `google/siglip-so400m-patch14-384`.
    pub fn so400m_384() -> Self {
        Self {
            hidden_size: 1152,
            intermediate_size: 4304,
            num_hidden_layers: 27,
            num_attention_heads: 16,
            image_size: 384,
            patch_size: 14,
            num_channels: 3,
            hidden_act: Activation::GeluTanh,
            layer_norm_eps: 1e-6,
        }
    }

    /// Small enough to be trained on a laptop.
    pub fn tiny() -> Self {
        Self {
            hidden_size: 96,
            intermediate_size: 256,
            num_hidden_layers: 3,
            num_attention_heads: 4,
            image_size: 64,
            patch_size: 8,
            ..Self::so400m_384()
        }
    }

    /// Patches along one side of an image of the configured size.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }

    /// Fails when the sizes do not fit each other.
    pub fn validate(&self) -> Result<()> {
        if self.patch_size == 0 || self.grid() == 0 {
            bail!("siglip: patches of {} do not fit images of {}", self.patch_size, self.image_size);
        }
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            bail!(
                "siglip: width {} cannot be split into {} heads",
                self.hidden_size,
                self.num_attention_heads
            );
        }
        Ok(())
    }
}

/// Which state of the tower is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureLayer {
    /// A state between layers: 0 is the embedding, `i` the output of layer `i`, negative numbers count from the end.
    /// No norm is applied, so `-1` is the last layer's plain output.
    Hidden(i32),
    /// The last layer's output after the final norm.
    LastNormed,
}

impl FeatureLayer {
    /// How many of `layers` layers have to run.
    pub fn depth(self, layers: usize) -> Result<usize> {
        let Self::Hidden(index) = self else { return Ok(layers) };
        let states = layers as i64 + 1;
        let at = if index < 0 { states + i64::from(index) } else { i64::from(index) };
        if (0..states).contains(&at) {
            Ok(at as usize)
        } else {
            bail!("siglip: hidden state {index} of a tower with {layers} layers does not exist")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_states_count_from_either_end() {
        assert_eq!(FeatureLayer::Hidden(-2).depth(27).unwrap(), 26);
        assert_eq!(FeatureLayer::Hidden(0).depth(27).unwrap(), 0);
        assert_eq!(FeatureLayer::LastNormed.depth(27).unwrap(), 27);
        assert!(FeatureLayer::Hidden(28).depth(27).is_err() && FeatureLayer::Hidden(-29).depth(27).is_err());
    }

    #[test]
    fn a_published_config_is_read_whatever_else_it_holds() {
        let text = r#"{"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
            "num_attention_heads": 16, "image_size": 384, "patch_size": 14, "torch_dtype": "float16"}"#;
        assert_eq!(serde_json::from_str::<SiglipConfig>(text).unwrap(), SiglipConfig::so400m_384());
    }
}
