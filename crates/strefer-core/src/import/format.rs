//! The published formats of samples by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fields, grounded_video_llm, llava_video, qvhighlights, strefer, videorefer};
use crate::error::Result;
use crate::sample::Sample;
use crate::validate::MediaFacts;

/// A published format of training records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SampleFormat {
    /// VideoRefer-700K.
    Videorefer,
    /// The Strefer release.
    Strefer,
    /// LLaVA-Video-178K.
    LlavaVideo,
    /// Grounded-VideoLLM.
    GroundedVideoLlm,
    /// QVHighlights' annotations.
    Qvhighlights,
}

impl SampleFormat {
    /// Its name on command lines and in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Videorefer => "videorefer",
            Self::Strefer => "strefer",
            Self::LlavaVideo => "llava-video",
            Self::GroundedVideoLlm => "grounded-video-llm",
            Self::Qvhighlights => "qvhighlights",
        }
    }

    /// What it is, in a few words.
    pub fn help(self) -> &'static str {
        match self {
            Self::Videorefer => "VideoRefer-700K",
            Self::Strefer => "The Strefer release",
            Self::LlavaVideo => "LLaVA-Video-178K",
            Self::GroundedVideoLlm => "Grounded-VideoLLM",
            Self::Qvhighlights => "QVHighlights' annotations, as questions about when something happens",
        }
    }

    /// Reads one record and checks it; `position` names it when it has no id.
    ///
    /// # Errors
    /// What the format's own reader refuses, or a sample that contradicts itself.
    pub fn import(self, fields: Fields, position: usize) -> Result<Sample> {
        let sample = match self {
            Self::Videorefer => videorefer::import(fields, position),
            Self::Strefer => strefer::import(fields, position),
            Self::LlavaVideo => llava_video::import(fields, position),
            Self::GroundedVideoLlm => grounded_video_llm::import(fields, position),
            Self::Qvhighlights => qvhighlights::import(fields, position),
        }?;
        sample.validate(MediaFacts::default())?;
        Ok(sample)
    }
}
