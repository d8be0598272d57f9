//! Answers from a function.

use std::fmt;

use crate::Teacher;
use crate::fault::Fault;
use crate::question::{Answer, Question};

type Rule = dyn Fn(&Question) -> Result<Answer, Fault> + Send + Sync;

/// A function that answers: rules over known facts, or a model in this process.
pub struct Rules {
    model: String,
    rule: Box<Rule>,
}

impl Rules {
    /// `model` names it.
    pub fn new(
        model: impl Into<String>,
        rule: impl Fn(&Question) -> Result<Answer, Fault> + Send + Sync + 'static,
    ) -> Self {
        Self { model: model.into(), rule: Box::new(rule) }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rules({})", self.model)
    }
}

impl Teacher for Rules {
    fn model(&self) -> &str {
        &self.model
    }

    fn ask(&self, question: &Question) -> Result<Answer, Fault> {
        (self.rule)(question)
    }
}
