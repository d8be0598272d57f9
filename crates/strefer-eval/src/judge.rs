//! A judge: another model that reads what a model said beside what is true, and says what it is worth.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};
use strefer_teacher::{Budget, EndpointConfig, Fault, Prompt, Sampling, Teacher};

/// Who judges, and how it is asked: a file of the user's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeConfig {
    /// The judge's instructions, relative to this file; given to it as they are, before each question.
    pub prompt: PathBuf,
    /// How its replies are drawn. VideoRefer-Bench-D's own script uses temperature 0.7, top_p 0.95 and 800 tokens.
    #[serde(default = "usual")]
    pub sampling: Sampling,
    /// The most that may be spent.
    #[serde(default)]
    pub budget: Budget,
    /// Servers with the judge's model.
    #[serde(default)]
    pub endpoints: Vec<EndpointConfig>,
    /// Instead of servers, the folder of a Video LLM that judges in this process; relative to where the program runs.
    #[serde(default)]
    pub model: Option<PathBuf>,
}

fn usual() -> Sampling {
    Sampling { max_tokens: 800, temperature: 0.7, top_p: 0.95, seed: 0 }
}

/// Asks a judge.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// Who judges.
    pub teacher: &'a dyn Teacher,
    /// Its instructions.
    pub prompt: &'a Prompt,
    /// How its replies are drawn.
    pub sampling: Sampling,
    /// Questions at a time.
    pub threads: usize,
}

impl Judge<'_> {
    /// Asks all of `questions` and gives the replies in their order; `each` is called after each of them.
    pub fn ask(&self, questions: &[String], each: &(dyn Fn() + Sync)) -> Vec<Result<String, Fault>> {
        let replies = Mutex::new(Vec::with_capacity(questions.len()));
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..self.threads.clamp(1, questions.len().max(1)) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(text) = questions.get(at) else { return };
                        let reply = self.teacher.ask(&self.question(text)).map(|answer| answer.text);
                        replies.lock().unwrap_or_else(PoisonError::into_inner).push((at, reply));
                        each();
                    }
                });
            }
        });
        let mut replies = replies.into_inner().unwrap_or_else(PoisonError::into_inner);
        replies.sort_by_key(|(at, _)| *at);
        replies.into_iter().map(|(_, reply)| reply).collect()
    }

    fn question(&self, text: &str) -> strefer_teacher::Question {
        let mut question = strefer_teacher::Question::new("", text);
        question.prompt = self.prompt.id().clone();
        question.system = Some(self.prompt.text().trim().to_owned());
        question.sampling = self.sampling;
        question
    }

    /// What a score says about its judge: model, instructions, how replies were drawn.
    pub fn to_json(&self) -> Value {
        json!({
            "model": self.teacher.model(),
            "prompt": { "name": self.prompt.id().name, "version": self.prompt.id().version, "text": self.prompt.text() },
            "sampling": self.sampling,
        })
    }
}
