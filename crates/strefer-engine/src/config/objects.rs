//! The stages that ask about objects one by one, as VideoRefer's data engine does (arXiv 2501.00599, section 3).

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_core::records::QuestionKind;
use strefer_teacher::Sampling;

use super::stages::{pictures, usual};

fn tries_problem(stage: &str, tries: u32) -> Option<String> {
    (!(1..=16).contains(&tries)).then(|| format!("{stage}: tries lie between 1 and 16"))
}

/// How each object moves and looks, asked apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnotateConfig {
    /// Who is asked.
    pub teacher: String,
    /// Frames, spread over the video.
    #[serde(default = "usual::clip_frames")]
    pub frames: usize,
    /// The longer side of a picture, in pixels.
    #[serde(default = "usual::side")]
    pub side: u32,
    /// How often it is asked, with other seeds, before an answer is given up.
    #[serde(default = "usual::tries")]
    pub tries: u32,
    /// A file in the place of the prompt about motion, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motion_prompt: Option<PathBuf>,
    /// A file in the place of the prompt about looks, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appearance_prompt: Option<PathBuf>,
    /// How the first answer is drawn; later tries are a little warmer.
    #[serde(default)]
    pub sampling: Sampling,
}

impl AnnotateConfig {
    pub(super) fn problem(&self) -> Option<String> {
        pictures("annotate", self.frames, self.side).or_else(|| tries_problem("annotate", self.tries))
    }
}

/// Whether the masks of an object show it: somebody says what they show, somebody else compares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewConfig {
    /// Who compares, in words.
    pub teacher: String,
    /// Who sees frames with the object outlined and says what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eyes: Option<String>,
    /// In its place, folder of a Video LLM with a region connector, in this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// What that is asked; `<region:0>` is the object.
    #[serde(default = "what_is_it", skip_serializing_if = "is_usual_question")]
    pub question: String,
    /// Frames that are shown, those in which the object is largest; a Video LLM gets the masks of so many.
    #[serde(default = "one")]
    pub frames: usize,
    /// The longer side of a picture, in pixels.
    #[serde(default = "usual::side")]
    pub side: u32,
    /// How often each is asked, with other seeds, before the object is given up.
    #[serde(default = "usual::tries")]
    pub tries: u32,
    /// A file in the place of the prompt for what is outlined, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eyes_prompt: Option<PathBuf>,
    /// A file in the place of the prompt for the comparison, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PathBuf>,
    /// How first answers are drawn; later tries are a little warmer.
    #[serde(default)]
    pub sampling: Sampling,
}

fn what_is_it() -> String {
    "What is <region:0>?".to_owned()
}

fn is_usual_question(question: &str) -> bool {
    question == what_is_it()
}

fn one() -> usize {
    1
}

impl ReviewConfig {
    pub(super) fn problem(&self) -> Option<String> {
        if self.eyes.is_some() == self.model.is_some() {
            return Some("review: name either eyes, a teacher, or model, a folder".to_owned());
        }
        if self.question.matches("<region:0>").count() != 1 {
            return Some("review: the question mentions <region:0> once".to_owned());
        }
        pictures("review", self.frames, self.side).or_else(|| tries_problem("review", self.tries))
    }
}

/// Motion and looks become one text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefineConfig {
    /// Who is asked.
    pub teacher: String,
    /// How often it is asked, with other seeds, before a caption is given up.
    #[serde(default = "usual::tries")]
    pub tries: u32,
    /// A file in the place of the prompt that comes with the program, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PathBuf>,
    /// How the first answer is drawn; later tries are a little warmer.
    #[serde(default)]
    pub sampling: Sampling,
}

impl RefineConfig {
    pub(super) fn problem(&self) -> Option<String> {
        tries_problem("refine", self.tries)
    }
}

/// Questions about each object, with answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuestionConfig {
    /// Who is asked.
    pub teacher: String,
    /// Frames that are shown with the object outlined, spread over those with a mask; none: it works from what was said.
    #[serde(default = "usual::clip_frames")]
    pub frames: usize,
    /// The longer side of a picture, in pixels.
    #[serde(default = "usual::side")]
    pub side: u32,
    /// What is asked for.
    #[serde(default = "all_kinds")]
    pub kinds: Vec<QuestionKind>,
    /// Most questions of a kind about an object.
    #[serde(default = "one")]
    pub pairs: usize,
    /// How often it is asked, with other seeds, before a kind is given up.
    #[serde(default = "usual::tries")]
    pub tries: u32,
    /// A file in the place of the prompt that comes with the program, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PathBuf>,
    /// How the first answer is drawn; later tries are a little warmer.
    #[serde(default)]
    pub sampling: Sampling,
}

fn all_kinds() -> Vec<QuestionKind> {
    QuestionKind::ALL.to_vec()
}

impl QuestionConfig {
    pub(super) fn problem(&self) -> Option<String> {
        let mut kinds = self.kinds.clone();
        kinds.sort();
        kinds.dedup();
        if kinds.is_empty() || kinds.len() < self.kinds.len() || self.pairs == 0 {
            return Some("question: kinds are named once each, and pairs is not 0".to_owned());
        }
        pictures("question", self.frames.max(1), self.side).or_else(|| tries_problem("question", self.tries))
    }
}

/// What is written about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Its expression.
    Short,
    /// The refined text.
    Detailed,
    /// Questions.
    Questions,
}

/// Samples about single objects, in the place of the generator's. How many masks they have and which part of the dataset
/// they are stands in `[instruct]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectsConfig {
    /// What is written about each object, a sample each.
    pub write: Vec<Kind>,
}

impl ObjectsConfig {
    /// Whether samples of a kind are written.
    pub fn writes(&self, kind: Kind) -> bool {
        self.write.contains(&kind)
    }
}
