//! The form that an answer must have.

use std::sync::Arc;

use serde_json::Value;

use crate::fault::{Error, Fault, beginning};
use crate::question::{Answer, Question, Usage};

/// The form that a question's answer must have: that of its schema, any words without one.
#[derive(Debug)]
pub struct Form(Option<jsonschema::Validator>);

impl Form {
    /// That of a question.
    ///
    /// # Errors
    /// A schema that is none.
    pub fn of(question: &Question) -> Result<Self, Fault> {
        let validator = question.schema.as_ref().map(jsonschema::validator_for).transpose();
        let validator = validator.map_err(|error| Arc::new(Error::Schema(error.to_string())))?;
        Ok(Self(validator))
    }

    /// What `model` wrote as an answer, which took `usage`.
    ///
    /// # Errors
    /// Another form ([`Fault::Form`]).
    pub fn read(&self, model: &str, text: &str, usage: Usage) -> Result<Answer, Fault> {
        let value = self.check(text).map_err(|reason| Fault::Form {
            model: model.to_owned(),
            reason,
            said: beginning(text),
            usage,
        })?;
        Ok(Answer { text: text.to_owned(), value, usage })
    }

    /// The answer as JSON, where it must be that.
    fn check(&self, text: &str) -> Result<Option<Value>, String> {
        let Some(validator) = &self.0 else { return Ok(None) };
        let value: Value =
            serde_json::from_str(unfenced(text)).map_err(|error| format!("no JSON: {error}"))?;
        let fault = validator
            .iter_errors(&value)
            .next()
            .map(|error| format!("{error} at {:?}", error.instance_path().to_string()));
        fault.map_or(Ok(Some(value)), Err)
    }
}

/// A JSON text without the fence that models like to put around it.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    inside.map_or(text, |inside| inside.strip_prefix("json").unwrap_or(inside).trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_have_any_form_and_a_schema_must_be_one() {
        let question = Question::new("q", "How many?");
        let usage = Usage { prompt_tokens: 3, completion_tokens: 1 };
        let answer = Form::of(&question).unwrap().read("m", "{", usage).unwrap();
        assert_eq!((answer.text.as_str(), answer.value, answer.usage), ("{", None, usage));
        assert!(Form::of(&Question { schema: Some(json!({ "type": 7 })), ..question }).is_err());
    }
}
