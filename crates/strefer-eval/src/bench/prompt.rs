//! The words around questions: files of our own wording in Jinja's language, each with a version that runs record.

use serde::Serialize;
use serde_json::{Value, json};
use strefer_teacher::Prompt;

use crate::error::Result;

macro_rules! own {
    ($name:literal) => {
        Words(Prompt::new($name, include_str!(concat!("prompts/", $name, ".txt"))))
    };
}

/// The words around the questions of one benchmark.
#[derive(Debug, Clone)]
pub struct Words(Prompt);

impl Words {
    /// Somebody's own.
    pub fn of(prompt: Prompt) -> Self {
        Self(prompt)
    }

    pub(super) fn choice() -> Self {
        own!("choice")
    }

    pub(super) fn choice_row() -> Self {
        own!("choice-row")
    }

    pub(super) fn choice_subtitles() -> Self {
        own!("choice-subtitles")
    }

    pub(super) fn choice_inside() -> Self {
        own!("choice-inside")
    }

    pub(super) fn question() -> Self {
        own!("question")
    }

    pub(super) fn few_words() -> Self {
        own!("few-words")
    }

    pub(super) fn describe() -> Self {
        own!("describe")
    }

    pub(super) fn caption() -> Self {
        own!("caption")
    }

    pub(super) fn moments() -> Self {
        own!("moments")
    }

    pub(super) fn grounding() -> Self {
        own!("grounding")
    }

    pub(super) fn moment_choice() -> Self {
        own!("moment-choice")
    }

    pub(super) fn moment_yes_no() -> Self {
        own!("moment-yes-no")
    }

    /// A user's turn: what is shown, then these words with their places filled.
    pub(super) fn turn(&self, facts: impl Serialize) -> Result<String> {
        Ok(format!("<video>\n{}", self.0.ask(facts)?.words()))
    }

    /// Name and version, for the record of a run.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "name": self.0.id().name, "version": self.0.id().version, "text": self.0.text() })
    }
}
