//! Prompts are files.

use std::path::Path;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::fault::{Error, Result, io};
use crate::question::{PromptId, Question};

/// The words of a question with places to fill in, in Jinja's language. Its digest is its version.
#[derive(Debug, Clone)]
pub struct Prompt {
    id: PromptId,
    text: String,
}

impl Prompt {
    /// A prompt in words; something to be filled in is `{{ name }}`.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        let version = blake3::hash(text.as_bytes()).to_hex()[..12].to_owned();
        Self { id: PromptId { name, version }, text }
    }

    /// Reads one; its name is that of the file without an ending.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(io(path))?;
        Ok(Self::new(path.file_stem().unwrap_or_default().to_string_lossy(), text))
    }

    /// Name and version.
    pub fn id(&self) -> &PromptId {
        &self.id
    }

    /// Its words as they stand in the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The question with its places filled.
    ///
    /// # Errors
    /// A prompt that cannot be parsed, or that asks for what is not given.
    pub fn ask(&self, facts: impl Serialize) -> Result<Question> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let rendered = environment.render_str(&self.text, Serde(facts)).map_err(|error| Error::Content {
            path: self.id.name.clone().into(),
            line: error.line(),
            reason: error.to_string(),
        })?;
        let mut question = Question::new(self.id.name.clone(), rendered.trim());
        question.prompt = self.id.clone();
        Ok(question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_filled_and_one_that_nothing_is_given_for_is_named() {
        let prompt = Prompt::new("entities", "Who is in the {{ place }}?\n");
        let question = prompt.ask(json!({ "place": "garden" })).unwrap();
        assert_eq!((question.words().as_str(), question.prompt.version.len()), ("Who is in the garden?", 12));
        let error = prompt.ask(json!({})).unwrap_err().to_string();
        assert!(error.starts_with("entities, line 1"), "{error}");
    }
}
