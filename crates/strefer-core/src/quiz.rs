//! What makes a sample a question with a known answer, kept in [`Sample::eval`](crate::Sample).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sample::{Region, Sample};

/// A question's answer, and what the same question would get for another object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuizFacts {
    /// What is asked about: `colour`, `action_at_time`, …
    pub kind: String,
    /// The true answer.
    pub answer: String,
    /// Whether the object has a combination of attributes that training never shows.
    #[serde(default)]
    pub held_out: bool,
    /// Another object of the same video for which the answer differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<OtherObject>,
}

/// Another object of the same video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherObject {
    /// What would be true of it.
    pub answer: String,
    /// Where it is.
    pub region: Region,
}

impl QuizFacts {
    /// The facts of a sample; `None` when it is no such question.
    pub fn of(sample: &Sample) -> Option<Self> {
        serde_json::from_value(sample.eval.clone()?).ok()
    }

    /// As the value of [`Sample::eval`](crate::Sample).
    ///
    /// # Panics
    /// Never: the facts hold nothing that JSON cannot say.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("facts are plain JSON")
    }
}
