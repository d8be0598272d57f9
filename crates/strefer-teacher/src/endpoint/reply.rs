//! What a server answers.

use serde_json::Value;

use crate::fault::{Error, Fault, beginning};
use crate::question::{Answer, Question, Usage};

/// The form that an answer must have.
pub(crate) struct Form(Option<jsonschema::Validator>);

impl Form {
    /// # Errors
    /// A schema that is none.
    pub(crate) fn of(question: &Question) -> Result<Self, Fault> {
        let validator = question.schema.as_ref().map(jsonschema::validator_for).transpose();
        let validator = validator.map_err(|error| std::sync::Arc::new(Error::Schema(error.to_string())))?;
        Ok(Self(validator))
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

/// A chat completion.
pub(crate) struct Reply<'a> {
    text: Option<&'a str>,
    finish: Option<&'a str>,
    pub(crate) usage: Usage,
    whole: &'a Value,
}

impl<'a> Reply<'a> {
    pub(crate) fn of(reply: &'a Value) -> Self {
        let choice = &reply["choices"][0];
        let tokens = |name: &str| reply["usage"][name].as_u64().unwrap_or_default();
        Self {
            text: choice["message"]["content"].as_str(),
            finish: choice["finish_reason"].as_str(),
            usage: Usage {
                prompt_tokens: tokens("prompt_tokens"),
                completion_tokens: tokens("completion_tokens"),
            },
            whole: reply,
        }
    }

    /// The answer, if it is whole and has the form asked for.
    pub(crate) fn answer(&self, model: &str, question: &Question, form: &Form) -> Result<Answer, Fault> {
        let model = model.to_owned();
        let wrong = |reason: String, said: &str| Fault::Form {
            model: model.clone(),
            reason,
            said: beginning(said),
            usage: self.usage,
        };
        if self.finish == Some("length") {
            return Err(Fault::Unfinished {
                model,
                max_tokens: question.sampling.max_tokens,
                usage: self.usage,
            });
        }
        let Some(text) = self.text.filter(|text| !text.trim().is_empty()) else {
            return Err(wrong("it says nothing".to_owned(), &self.whole.to_string()));
        };
        if let Some(finish) = self.finish.filter(|finish| *finish != "stop") {
            return Err(wrong(format!("it ended by {finish:?}"), text));
        }
        let value = form.check(text).map_err(|reason| wrong(reason, text))?;
        Ok(Answer { text: text.to_owned(), value, usage: self.usage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_whole_and_fits_its_schema_or_is_a_fault() {
        let schema =
            json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        let question = Question { schema: Some(schema), ..Question::new("q", "How many?") };
        let form = Form::of(&question).unwrap();
        let answer = |text: Value, finish: &str| {
            let reply = json!({ "choices": [{ "message": { "content": text }, "finish_reason": finish }],
                "usage": { "prompt_tokens": 5, "completion_tokens": 2 } });
            Reply::of(&reply).answer("m", &question, &form)
        };
        let good = answer(json!("```json\n{\"n\": 3}\n```"), "stop").unwrap();
        assert_eq!((good.value, good.usage.prompt_tokens), (Some(json!({ "n": 3 })), 5));
        let fault = |text: Value, finish: &str| answer(text, finish).unwrap_err();
        assert!(matches!(fault(json!("{\"n\": 3}"), "length"), Fault::Unfinished { max_tokens: 1024, .. }));
        for text in [json!("{\"n\": "), json!("{\"n\": \"three\"}"), json!("{}"), json!(null), json!(" ")] {
            assert!(matches!(fault(text, "stop"), Fault::Form { .. }));
        }
        assert!(matches!(fault(json!("{\"n\": 3}"), "content_filter"), Fault::Form { .. }));
        assert!(Form::of(&Question { schema: Some(json!({ "type": 7 })), ..question.clone() }).is_err());
    }
}
