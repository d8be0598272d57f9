//! A Video LLM as data: which of each part, and how frames, masks, times and text reach it.

use serde::{Deserialize, Serialize};
use strefer_core::UniformRule;
use strefer_llm::{ChatTemplate, DecoderConfig};
use strefer_vision::siglip::{FeatureLayer, SiglipConfig};

use crate::connector::ConnectorConfig;
use crate::region::RegionConfig;
use crate::tiles::TilesConfig;
use crate::time::TimeConfig;

/// What `model_type` says in our own `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ModelType {
    /// The only one so far.
    #[default]
    #[serde(rename = "strefer")]
    Strefer,
}

impl ModelType {
    /// What stands in the file.
    pub const NAME: &str = "strefer";
}

/// The text around turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatPreset {
    /// ChatML with Qwen2's default system line.
    Qwen2,
    /// Phi-3's role tokens.
    Phi3,
}

impl ChatPreset {
    /// The template.
    pub fn template(self) -> ChatTemplate {
        match self {
            Self::Qwen2 => ChatTemplate::qwen2(),
            Self::Phi3 => ChatTemplate::phi3(),
        }
    }
}

/// How a frame of any shape becomes a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Stretched.
    Stretch,
    /// Centred on a square of the mean colour.
    Pad,
}

/// Which frames are shown, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FramesConfig {
    /// Number of frames.
    pub count: usize,
    /// How they are laid over the segment.
    pub rule: UniformRule,
    /// How frames become squares.
    pub fit: Fit,
    /// How frames that carry masks become squares.
    pub region_fit: Fit,
    /// Whether a still, or a segment of one frame, is shown once instead of `count` times.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stills_once: bool,
    /// Whether a learned vector tells the features of each frame when it is shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub time_embedding: bool,
}

/// The vision tower and the features taken from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionConfig {
    /// The tower.
    pub siglip: SiglipConfig,
    /// The layer whose output is used.
    pub feature: FeatureLayer,
}

/// Ids of the tokens that are replaced or that end an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenIds {
    /// `<video>`, or whatever the family calls it: replaced by the connector's tokens.
    pub video: u32,
    /// `<region>`, replaced by an object's tokens, where there is a region connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<u32>,
    /// `<0>`, the first temporal token, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_time: Option<u32>,
    /// Fills short rows of a batch.
    pub pad: u32,
    /// Tokens that end an answer.
    pub eos: Vec<u32>,
}

/// A Video LLM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoLlmConfig {
    /// Says that the file is one of ours.
    pub model_type: ModelType,
    /// Which frames are shown.
    pub frames: FramesConfig,
    /// The vision tower.
    pub vision: VisionConfig,
    /// The video connector.
    pub connector: ConnectorConfig,
    /// How still images are cut into tiles; without it they are shown like videos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiles: Option<TilesConfig>,
    /// The region connector, where there is one.
    pub region: Option<RegionConfig>,
    /// How moments are written.
    pub time: TimeConfig,
    /// The language model.
    pub llm: DecoderConfig,
    /// The chat template.
    pub chat: ChatPreset,
    /// Ids of special tokens.
    pub tokens: TokenIds,
    /// The most text tokens of a sample; longer ones are refused.
    pub max_text_tokens: usize,
}

impl VideoLlmConfig {
    /// Side of the square that frames become, in pixels.
    pub fn image_size(&self) -> usize {
        self.vision.siglip.image_size
    }

    /// Patches along one side of a frame.
    pub fn grid_side(&self) -> usize {
        self.vision.siglip.grid()
    }

    /// Rejects what parses but cannot be meant.
    pub fn validate(&self) -> Result<(), String> {
        if self.frames.count == 0 {
            return Err("frames.count is zero".to_owned());
        }
        let vision = self.vision.siglip.validate();
        vision
            .and_then(|()| self.vision.feature.depth(self.vision.siglip.num_hidden_layers))
            .map_err(|error| format!("vision: {error}"))?;
        self.connector.validate(self.frames.count, self.grid_side(), self.vision.siglip.hidden_size)?;
        if self.frames.stills_once {
            self.connector
                .validate(1, self.grid_side(), self.vision.siglip.hidden_size)
                .map_err(|reason| format!("frames.stills_once: {reason}"))?;
        }
        if let Some(tiles) = &self.tiles {
            tiles.validate(self.image_size())?;
            if !self.connector.takes_tiles() {
                return Err("tiles need a connector of kind mlp with a newline".to_owned());
            }
        }
        match (self.region, self.tokens.region) {
            (Some(region), _) if region.max_tokens == 0 => return Err("region.max_tokens is zero".to_owned()),
            (Some(_), None) => return Err("tokens.region is missing".to_owned()),
            _ => {}
        }
        match (self.time, self.tokens.first_time) {
            (TimeConfig::Tokens(tokens), _) if tokens.count < 2 => Err("time.count is below two".to_owned()),
            (TimeConfig::Tokens(_), None) => Err("tokens.first_time is missing".to_owned()),
            _ => Ok(()),
        }
    }
}
