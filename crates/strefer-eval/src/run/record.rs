//! One item of a run, as it is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::log::AnswerLine;
use super::sha256;
use crate::bench::{Benchmark, Rating, Views};
use crate::error::Result;

/// What became of one item in one view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemRecord {
    /// The item.
    pub id: String,
    /// What the model read, as far as it is words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// SHA-256 of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt_sha256: String,
    /// Frames that were shown, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frame_indices: Vec<usize>,
    /// The answer; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction_text: Option<String>,
    /// What was understood of it; null when nothing was.
    pub parsed: Value,
    /// What is true.
    pub label: Value,
    /// What it counts, 0 to 1, or a judge's mean rating; absent where nobody said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The points that a judge rated, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub points: BTreeMap<String, f64>,
    /// The judge's reply, where one was asked and gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// What it is counted under.
    pub group: BTreeMap<String, String>,
    /// What is true of what was put in instead, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_label: Option<String>,
    /// Whether the answer says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<bool>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ItemRecord {
    /// Reads the answer to the item at a position.
    ///
    /// # Errors
    /// An item that cannot be put in that view.
    pub(super) fn new(
        benchmark: &dyn Benchmark,
        views: &Views<'_>,
        at: usize,
        line: &AnswerLine,
    ) -> Result<Self> {
        let item = &benchmark.items()[at];
        let reading = line.text.as_deref().map(|text| benchmark.read(at, text)).unwrap_or_default();
        let other = views.other_answer(line.view, at);
        let other_label =
            other.zip(item.offer.as_ref()).and_then(|(other, offer)| offer.replies.get(other).cloned());
        let follows = other.filter(|_| line.text.is_some()).map(|other| reading.chosen == Some(other));
        let digest = if line.prompt.is_empty() { String::new() } else { sha256(line.prompt.as_bytes()) };
        Ok(Self {
            id: line.id.clone(),
            prompt: line.prompt.clone(),
            prompt_sha256: digest,
            frame_indices: line.frame_indices.clone(),
            prediction_text: line.text.clone(),
            parsed: reading.parsed,
            label: item.label.clone(),
            score: reading.score.filter(|_| line.text.is_some()),
            points: BTreeMap::new(),
            verdict: None,
            group: item.groups.clone(),
            other_label,
            follows,
            error: line.error.clone(),
        })
    }
    /// Adds what a judge says of the answer to the item at a position.
    pub(super) fn judge(&mut self, benchmark: &dyn Benchmark, at: usize, reply: String) {
        let Rating { score, points } = benchmark.rating(at, &reply);
        (self.score, self.points, self.verdict) = (score, points, Some(reply));
    }
}
