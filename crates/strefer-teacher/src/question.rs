//! What is asked, and what comes back.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A prompt file, and what it said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PromptId {
    /// Its name.
    pub name: String,
    /// The beginning of the BLAKE3 digest of its text; empty for a question that comes from no file.
    pub version: String,
}

/// A part of a question, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Words.
    Text(String),
    /// An encoded image (JPEG or PNG).
    Image(Arc<[u8]>),
    /// Frames of a video.
    Clip(Clip),
}

/// Frames of a video, chosen by whoever asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Encoded frames (JPEG), in order.
    pub frames: Vec<Arc<[u8]>>,
    /// Their numbers in the video.
    pub indices: Vec<usize>,
    /// Frames of the video.
    pub total: usize,
    /// Frames a second of the video.
    pub fps: f64,
}

/// How an answer is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// The most tokens of an answer; one that does not end within them is a fault.
    pub max_tokens: u32,
    /// 0 takes the best token each time.
    pub temperature: f64,
    /// Draw from the smallest set with this share of the probability.
    pub top_p: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { max_tokens: 1024, temperature: 0.0, top_p: 1.0, seed: 0 }
    }
}

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Where its words come from.
    pub prompt: PromptId,
    /// Instructions before it.
    pub system: Option<String>,
    /// What is asked.
    pub parts: Vec<Part>,
    /// A JSON schema that the answer must fit; words of any form when absent.
    pub schema: Option<Value>,
    /// How the answer is drawn.
    pub sampling: Sampling,
}

impl Question {
    /// A question in words.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            prompt: PromptId { name: name.into(), version: String::new() },
            system: None,
            parts: vec![Part::Text(text.into())],
            schema: None,
            sampling: Sampling::default(),
        }
    }

    /// The same with something to look at before its words.
    #[must_use]
    pub fn showing(mut self, part: Part) -> Self {
        let words = self.parts.iter().position(|part| matches!(part, Part::Text(_))).unwrap_or(0);
        self.parts.insert(words, part);
        self
    }

    /// Its words, without what is shown.
    pub fn words(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// What an answer of `model` is kept by: a digest of everything that could change it. The prompt's name is not part of
    /// it, its words are.
    pub fn key(&self, model: &str) -> String {
        let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
        let part = |part: &Part| match part {
            Part::Text(text) => json!({ "text": text }),
            Part::Image(bytes) => json!({ "image": digest(bytes) }),
            Part::Clip(clip) => json!({
                "frames": clip.frames.iter().map(|frame| digest(frame)).collect::<Vec<_>>(),
                "indices": clip.indices, "total": clip.total, "fps": clip.fps,
            }),
        };
        let whole = json!({
            "model": model,
            "system": self.system,
            "parts": self.parts.iter().map(part).collect::<Vec<_>>(),
            "schema": self.schema,
            "sampling": self.sampling,
        });
        digest(whole.to_string().as_bytes())
    }
}

/// Tokens of an ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Read.
    pub prompt_tokens: u64,
    /// Written.
    pub completion_tokens: u64,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// As it was written.
    pub text: String,
    /// The same as JSON, where the question has a schema; it fits that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What it took, tries that came to nothing included.
    #[serde(default)]
    pub usage: Usage,
}

impl Answer {
    /// One in words that took nothing.
    pub fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), value: None, usage: Usage::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_all_that_could_change_the_answer_and_on_nothing_else() {
        let question = Question::new("a", "What?").showing(Part::Image(Arc::from([1, 2].as_slice())));
        let key = question.key("model");
        let renamed =
            Question { prompt: PromptId { name: "b".into(), version: "1".into() }, ..question.clone() };
        assert_eq!(renamed.key("model"), key);
        let changes: [&dyn Fn(&mut Question); 5] = [
            &|question| question.system = Some(String::new()),
            &|question| question.parts[0] = Part::Image(Arc::from([1, 3].as_slice())),
            &|question| question.parts.reverse(),
            &|question| question.schema = Some(json!({})),
            &|question| question.sampling.seed = 1,
        ];
        for change in changes {
            let mut other = question.clone();
            change(&mut other);
            assert_ne!(other.key("model"), key);
        }
        assert_ne!(question.key("other"), key);
        assert_eq!(question.words(), "What?");
    }
}
