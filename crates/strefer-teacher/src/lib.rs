//! Asking other models.
//!
//! A [`Teacher`] answers a [`Question`]: words, frames, and what form the answer must have. Four kinds do:
//!
//! | teacher | answers come from |
//! |---|---|
//! | [`Endpoint`], [`Endpoints`] | servers that speak OpenAI's protocol (vLLM, SGLang, others) |
//! | [`Recorded`] | a folder of answers, and another teacher for what is not there yet |
//! | [`Replay`] | such a folder alone |
//! | [`Rules`] | a function, where facts are known |
//!
//! [`Recorded`] asks nothing twice: answers are kept by the content of the question, each ask stands in a ledger with its tokens,
//! seconds and cost, and a [`Budget`] ends the asking.
//!
//! ```
//! use strefer_teacher::{Answer, Budget, Question, Recorded, Rules, Teacher};
//!
//! let folder = tempfile::tempdir()?;
//! let rules = Rules::new("length", |question: &Question| Ok(Answer::of(question.words().len().to_string())));
//! let teacher = Recorded::open(folder.path(), rules, Budget::default())?;
//! let question = Question::new("count", "How long is this?");
//! assert_eq!(teacher.ask(&question)?.text, "17");
//! assert_eq!(teacher.ask(&question)?.text, "17");
//! assert_eq!(teacher.spent().asks, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod endpoint;
mod fault;
mod form;
mod ledger;
mod prompt;
mod question;
mod record;
mod replay;
mod rules;

pub use batch::{read_batch, write_batch};
pub use endpoint::{Capabilities, Endpoint, EndpointConfig, Endpoints, Price, Style};
pub use fault::{Error, Fault, Result};
pub use form::Form;
pub use ledger::{Budget, Entry, Spent};
pub use prompt::Prompt;
pub use question::{Answer, Clip, Part, PromptId, Question, Sampling, Usage};
pub use record::Recorded;
pub use replay::Replay;
pub use rules::Rules;

/// Answers questions. Many threads may ask at once.
pub trait Teacher: std::fmt::Debug + Send + Sync {
    /// Which model answers: part of what an answer is kept by.
    fn model(&self) -> &str;

    /// Answers one question.
    ///
    /// # Errors
    /// Why there is no answer, or none of the form asked for.
    fn ask(&self, question: &Question) -> std::result::Result<Answer, Fault>;

    /// What an answer costs, in the unit of its prices.
    fn cost(&self, _usage: Usage) -> f64 {
        0.0
    }
}

impl<T: Teacher + ?Sized> Teacher for std::sync::Arc<T> {
    fn model(&self) -> &str {
        (**self).model()
    }

    fn ask(&self, question: &Question) -> std::result::Result<Answer, Fault> {
        (**self).ask(question)
    }

    fn cost(&self, usage: Usage) -> f64 {
        (**self).cost(usage)
    }
}
