//! Asking so often as is allowed, until an answer is good.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strefer_teacher::{Prompt, Question, Sampling};

use crate::pipeline::fault::Fault;
use crate::pipeline::parse::again;
use crate::pipeline::teachers::{Asked, Said};
use crate::pipeline::watch::Watch;

/// The question of a prompt.
pub fn question(prompt: &Prompt, facts: &Value, schema: Value) -> Result<Question, Fault> {
    let question = prompt.ask(facts).map_err(|error| Fault::Records { reason: error.to_string() })?;
    Ok(Question { schema: Some(schema), ..question })
}

/// The form of an answer with some texts.
pub fn texts(names: &[&str]) -> Value {
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
    json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}

/// How a stage's questions fared.
#[derive(Debug, Default)]
pub struct Fared {
    /// Answers of the form asked for, good or not.
    formed: usize,
    /// The last answer that was not.
    fault: Option<Fault>,
}

impl Fared {
    /// # Errors
    /// Nothing was answered in the form asked for: the teacher is at fault, not the objects.
    pub fn check(self) -> Result<(), Fault> {
        match self.fault {
            Some(fault) if self.formed == 0 => Err(fault),
            _ => Ok(()),
        }
    }
}

/// Who is asked, how, and how often.
pub struct Asker<'a> {
    /// Who.
    pub teacher: Asked<'a>,
    /// How the first answer is drawn.
    pub sampling: Sampling,
    /// How often.
    pub tries: u32,
    /// When it has to end.
    pub watch: &'a Watch<'a>,
}

impl Asker<'_> {
    /// The first answer that `accept` takes, or why the last one was not taken.
    ///
    /// # Errors
    /// No answer at all, no time, no budget.
    pub fn until<A: DeserializeOwned, T>(
        &self,
        question: &Question,
        fared: &mut Fared,
        mut accept: impl FnMut(A) -> Result<T, String>,
    ) -> Result<Result<T, String>, Fault> {
        let mut last = String::new();
        for number in 0..self.tries {
            let question = Question { sampling: again(self.sampling, number), ..question.clone() };
            match self.teacher.try_ask::<A>(&question, self.watch)? {
                Said::Well(answer) => {
                    fared.formed += 1;
                    match accept(answer) {
                        Ok(taken) => return Ok(Ok(taken)),
                        Err(why) => last = why,
                    }
                }
                Said::Badly(fault) => {
                    last = fault.to_string();
                    fared.fault = Some(fault);
                }
            }
        }
        Ok(Err(format!("after {} tries, the last: {last}", self.tries)))
    }
}

/// A text on one line.
pub fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
