//! What is said about single objects: how they move and look, whether their masks show them, questions about them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sample::{Provenance, Schema};

/// What is said about each object of a video by itself. The stages that ask about objects add to it in turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Descriptions {
    /// Version of the record.
    #[serde(default)]
    pub schema: Schema,
    /// The video.
    pub video_id: String,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// One an entity that is still asked about, in their order.
    pub items: Vec<Description>,
}

/// What is said about one object.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The entity.
    pub eid: String,
    /// How it moves and what it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motion: Option<String>,
    /// How it looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appearance: Option<String>,
    /// Whether its masks show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
    /// Motion and looks in one text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Questions about it, with answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<ObjectQuestion>,
}

impl Description {
    /// Whether a reviewer said that its masks show something else.
    pub fn is_refused(&self) -> bool {
        self.review.as_ref().is_some_and(|review| !review.same)
    }
}

/// A reviewer's verdict on the masks of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// What the masked pixels show, in the words of somebody who was not told what they should.
    pub seen: String,
    /// Whether that is the entity.
    pub same: bool,
    /// Why.
    pub reason: String,
}

/// What a question about an object asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// What can be seen.
    Basic,
    /// What follows from it.
    Reasoning,
    /// What comes next.
    Future,
}

impl QuestionKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Basic, Self::Reasoning, Self::Future];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Reasoning => "reasoning",
            Self::Future => "future",
        }
    }
}

/// A question about one object, with its answer. `<region:0>` is the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectQuestion {
    /// What it asks for.
    pub kind: QuestionKind,
    /// It.
    pub question: String,
    /// Its answer.
    pub answer: String,
}
