//! The published families: a folder is recognised by its own `config.json`, translated into our configuration, and its
//! tensors get our names. [`Checkpoint::open`](crate::Checkpoint::open) takes such a folder as it takes ours.
//!
//! | family | `config.json` | tensors |
//! |---|---|---|
//! | BLIP-3-Strefer | `xgenmm` | upstream's own, older spellings and the `vlm.` and `module.` prefixes included |
//! | VideoRefer-7B | `videorefer_qwen2` | upstream's own; SigLIP bundled or in a folder of its own |
//! | LLaVA-OneVision | `llava_onevision`, or `LlavaQwenForCausalLM` | original, transformers as stored, transformers in memory |

mod assemble;
mod fields;
mod folder;
mod layout;
mod llava_onevision;
mod parts;
mod strefer;
mod tiles;
mod tokens;
mod videorefer;
mod vision;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde_json::Value;
use strefer_llm::Tokenizer;
use strefer_nn::Weights;

use crate::config::VideoLlmConfig;
use crate::error::Result;
pub use assemble::{Sources, assemble};
pub(crate) use fields::Fields;
use folder::Folder;
pub use layout::{Layout, is_unused};
pub use parts::open_part;
pub(crate) use tokens::check as check_tokens;
pub(crate) use videorefer::qwen2_defaults;

/// A published family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// BLIP-3-Strefer: SigLIP, Perceiver with Grouped Token Turing Machine, Phi-3, temporal tokens.
    Strefer,
    /// VideoRefer: SigLIP, spatial-temporal convolution, Qwen2.
    VideoRefer,
    /// LLaVA-OneVision, the base of ST-VLM: SigLIP, MLP with pooling, Qwen2; no regions.
    LlavaOneVision,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Strefer, Self::VideoRefer, Self::LlavaOneVision];

    /// Its name on command lines and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strefer => "strefer",
            Self::VideoRefer => "videorefer",
            Self::LlavaOneVision => "llava_onevision",
        }
    }

    /// The family whose reference writes such a `config.json`; none for ours and for strangers'.
    pub fn recognise(config: &Value) -> Option<Self> {
        match config["model_type"].as_str().unwrap_or_default() {
            "xgenmm" => return Some(Self::Strefer),
            "videorefer" | "videorefer_qwen2" => return Some(Self::VideoRefer),
            "llava_onevision" => return Some(Self::LlavaOneVision),
            _ => {}
        }
        let architectures = config["architectures"].as_array().into_iter().flatten();
        architectures.filter_map(Value::as_str).find_map(|name| match name {
            "XGenMMModelForConditionalGeneration" => Some(Self::Strefer),
            "VideoReferQwen2ForCausalLM" => Some(Self::VideoRefer),
            "LlavaQwenForCausalLM" | "LlavaOnevisionForConditionalGeneration" => Some(Self::LlavaOneVision),
            _ => None,
        })
    }

    /// How its checkpoints name tensors; new ones are written in the first way.
    pub fn layouts(self) -> &'static [Layout] {
        match self {
            Self::Strefer => strefer::LAYOUTS,
            Self::VideoRefer => videorefer::LAYOUTS,
            Self::LlavaOneVision => llava_onevision::LAYOUTS,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let known = Self::ALL.map(Self::name);
        Self::ALL
            .into_iter()
            .find(|family| family.name() == name)
            .ok_or_else(|| format!("{name:?} is no family ({})", known.join(", ")))
    }
}

/// Configuration and tokenizer of a family's folder, in our form. Of the weights only the headers are read: the number
/// of token rows is theirs, whatever `config.json` says.
///
/// # Errors
/// A setting that we cannot follow, tensors of another family, a tokenizer without a token that the model needs.
pub(crate) fn read(dir: &Path, family: Family, json: &Value) -> Result<(VideoLlmConfig, Tokenizer)> {
    let folder = Folder::open(dir, family, json)?;
    let mut tokenizer = Tokenizer::load(dir)?;
    let config = match family {
        Family::Strefer => strefer::config(&folder, &mut tokenizer)?,
        Family::VideoRefer => videorefer::config(&folder, &mut tokenizer)?,
        Family::LlavaOneVision => llava_onevision::config(&folder, &mut tokenizer)?,
    };
    Ok((config, tokenizer))
}

/// The tensors of a family's folder under our names, those that no model uses included, and how the folder names them.
pub(crate) fn open_weights(dir: &Path, family: Family, json: &Value) -> Result<(Weights, &'static Layout)> {
    let folder = Folder::open(dir, family, json)?;
    Ok((folder.weights, folder.layout))
}
