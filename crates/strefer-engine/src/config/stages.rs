//! The stages before the generator.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_teacher::Sampling;

use crate::clips::{SemanticConfig, ShotConfig};
use crate::masklets::simulate::Noise;
use crate::masklets::{CorrectedConfig, PublishedConfig};

/// Sides of the pictures that a teacher sees, in pixels.
const SIDES: std::ops::RangeInclusive<u32> = 32..=4096;

pub(super) fn pictures(stage: &str, frames: usize, side: u32) -> Option<String> {
    let good = (1..=512).contains(&frames) && SIDES.contains(&side);
    (!good).then(|| format!("{stage}: frames lie between 1 and 512, side between 32 and 4096"))
}

/// What acts in a video, as a paragraph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecogniseConfig {
    /// Who is asked.
    pub teacher: String,
    /// Frames, spread over the video.
    #[serde(default = "usual::frames")]
    pub frames: usize,
    /// The longer side of a picture, in pixels.
    #[serde(default = "usual::side")]
    pub side: u32,
    /// A file in the place of the prompt that comes with the program, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PathBuf>,
    /// How the answer is drawn.
    #[serde(default)]
    pub sampling: Sampling,
}

impl RecogniseConfig {
    pub(super) fn problem(&self) -> Option<String> {
        pictures("recognise", self.frames, self.side)
    }
}

/// A paragraph becomes entities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseConfig {
    /// Who is asked.
    pub teacher: String,
    /// How often it is asked, with other seeds, before an entity is dropped.
    #[serde(default = "usual::tries")]
    pub tries: u32,
    /// Most entities of a video.
    #[serde(default = "usual::most_entities")]
    pub most_entities: usize,
    /// Whether broad nouns are asked for; without them a detector looks for the noun itself.
    #[serde(default = "usual::yes", skip_serializing_if = "usual::is_yes")]
    pub broad_nouns: bool,
    /// A file in the place of the prompt for expressions and nouns, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PathBuf>,
    /// A file in the place of the prompt for broad nouns, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noun_prompt: Option<PathBuf>,
    /// How the first answer is drawn; later tries are a little warmer.
    #[serde(default)]
    pub sampling: Sampling,
}

impl ParseConfig {
    pub(super) fn problem(&self) -> Option<String> {
        let good = (1..=16).contains(&self.tries) && self.most_entities > 0;
        (!good).then(|| "parse: tries lie between 1 and 16, and most_entities is not 0".to_owned())
    }
}

/// Entities become masks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum MaskletsConfig {
    /// Models that know the truth of a synthetic world and are wrong about it at set rates.
    Simulated(SimulatedMasklets),
    /// A detector, a tracker and a referee in this process.
    Models(MaskletModels),
}

/// Models that know the truth.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatedMasklets {
    /// How wrong they are.
    pub noise: Noise,
    /// The rules; the corrected ones when absent.
    pub published: bool,
}

/// Models that look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskletModels {
    /// Folder of Grounding DINO.
    pub detector: PathBuf,
    /// Folder or file of SAM 2.1.
    pub tracker: PathBuf,
    /// Folder of RexSeek, of SigLIP or of a Video LLM, or a file that names a server; without it expressions that share a noun have no
    /// masklet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referee: Option<PathBuf>,
    /// Frames, spread over the video.
    #[serde(default = "usual::mask_frames")]
    pub frames: usize,
    /// The rules of the release, in the place of the corrected ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedConfig>,
    /// The corrected rules.
    #[serde(default)]
    pub corrected: CorrectedConfig,
}

impl MaskletsConfig {
    /// Without where models lie: what they are is said by their digest.
    #[must_use]
    pub fn rules(&self) -> Self {
        match self {
            Self::Simulated(_) => self.clone(),
            Self::Models(models) => Self::Models(MaskletModels {
                detector: PathBuf::new(),
                tracker: PathBuf::new(),
                referee: None,
                ..models.clone()
            }),
        }
    }

    pub(super) fn problem(&self) -> Option<String> {
        let problem = match self {
            Self::Simulated(simulated) => simulated.noise.problem(),
            Self::Models(models) if models.frames == 0 => Some("frames is 0".to_owned()),
            Self::Models(models) => models.corrected.problem(),
        };
        problem.map(|problem| format!("masklets: {problem}"))
    }
}

/// What frames are compared by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// Colours in the quarters of a frame.
    #[default]
    Colours,
    /// SigLIP's pooled feature.
    Siglip,
}

/// A video becomes parts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClipsConfig {
    /// What frames are compared by.
    pub features: FeatureKind,
    /// Folder of SigLIP, where it is that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tower: Option<PathBuf>,
    /// Cuts.
    pub shots: ShotConfig,
    /// Parts inside shots.
    pub semantic: SemanticConfig,
}

impl ClipsConfig {
    pub(super) fn problem(&self) -> Option<String> {
        if (self.features == FeatureKind::Siglip) != self.tower.is_some() {
            return Some("clips: features = \"siglip\" and tower belong together".to_owned());
        }
        self.shots.problem().or_else(|| self.semantic.problem())
    }
}

/// What every entity does in every part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TranscribeConfig {
    /// Who is asked.
    pub teacher: String,
    /// Frames of a part, spread over it.
    #[serde(default = "usual::clip_frames")]
    pub frames: usize,
    /// The longer side of a picture, in pixels.
    #[serde(default = "usual::side")]
    pub side: u32,
    /// Most entities that are asked about at once.
    #[serde(default = "usual::entities_at_once")]
    pub entities_at_once: usize,
    /// A file in the place of the prompt that comes with the program, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PathBuf>,
    /// How the answer is drawn.
    #[serde(default)]
    pub sampling: Sampling,
}

impl TranscribeConfig {
    pub(super) fn problem(&self) -> Option<String> {
        if self.entities_at_once == 0 {
            return Some("transcribe: entities_at_once is 0".to_owned());
        }
        pictures("transcribe", self.frames, self.side)
    }
}

/// Questions in other words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RephraseConfig {
    /// Who is asked.
    pub teacher: String,
    /// A file in the place of the prompt that comes with the program, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PathBuf>,
    /// How the answer is drawn.
    #[serde(default)]
    pub sampling: Sampling,
}

pub(super) mod usual {
    pub(in crate::config) fn frames() -> usize {
        16
    }
    pub(in crate::config) fn side() -> u32 {
        448
    }
    pub(in crate::config) fn tries() -> u32 {
        3
    }
    pub(in crate::config) fn yes() -> bool {
        true
    }
    // What is as usual is not written: keys of older outputs stay.
    pub(in crate::config) fn is_yes(is: &bool) -> bool {
        *is
    }
    pub(in crate::config) fn most_entities() -> usize {
        12
    }
    pub(in crate::config) fn mask_frames() -> usize {
        32
    }
    pub(in crate::config) fn clip_frames() -> usize {
        8
    }
    pub(in crate::config) fn entities_at_once() -> usize {
        12
    }
}
