//! What a server answers.

use serde_json::Value;

use crate::fault::{Fault, beginning};
use crate::form::Form;
use crate::question::{Answer, Question, Usage};

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
        let wrong = |reason: String, said: &str| Fault::Form {
            model: model.to_owned(),
            reason,
            said: beginning(said),
            usage: self.usage,
        };
        if self.finish == Some("length") {
            return Err(Fault::Unfinished {
                model: model.to_owned(),
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
        form.read(model, text, self.usage)
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
    }
}
