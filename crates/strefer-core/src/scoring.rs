//! What is needed to score the answer to one question, kept in [`Sample::eval`].

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::sample::{Region, Sample};

/// How the answer of a sample is scored, with the answer that another object would get.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// What is scored: `colour`, `action`, `order`, …
    pub kind: String,
    /// The words that a right answer holds.
    pub answer: String,
    /// The right answer if the mask were that of `other_region`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_answer: Option<String>,
    /// Another object, for which the same question has another answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_region: Option<Region>,
    /// Whether the question is about a combination of attributes that no training video shows.
    #[serde(default)]
    pub held_out: bool,
}

impl Scoring {
    /// What a sample's `eval` says; `None` when it has none.
    ///
    /// # Errors
    /// An `eval` of another form.
    pub fn of(sample: &Sample) -> Result<Option<Self>> {
        let read = |value: &serde_json::Value| Self::deserialize(value);
        sample.eval.as_ref().map(read).transpose().map_err(|error| Error::Import {
            id: sample.id.clone(),
            reason: format!("eval: {error}"),
        })
    }
}
